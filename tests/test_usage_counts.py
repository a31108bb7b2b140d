"""The counts of a usage: those of the API, and what a wrong one counts as."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.usage_counts import UsageCounts, counts_of

COUNTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
DETAILS = {
    "cache_creation": ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"),
    "server_tool_use": ("web_search_requests",),
    "output_tokens_details": ("thinking_tokens",),
}
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-3, 10**12), st.floats(), st.text(max_size=3), st.just([1]))
DETAIL = st.one_of(VALUES, st.dictionaries(st.sampled_from(sorted(sum(DETAILS.values(), ()))), VALUES))
USAGES = st.dictionaries(
    st.sampled_from([*COUNTS, *DETAILS, "inference_geo", "speed", "service_tier"]), st.one_of(VALUES, DETAIL)
)


def count(value: object) -> int:
    """Return what a value of a usage counts as."""
    return value if isinstance(value, int) and value > 0 else 0


@given(USAGES)
def test_each_count_is_read_by_itself(usage: dict[str, Any]) -> None:
    """A value that is no positive number counts as 0, and takes no other one with it."""
    counts = counts_of(usage)
    assert [getattr(counts, name) for name in COUNTS] == [count(usage.get(name)) for name in COUNTS]
    assert counts.total == sum(count(usage.get(name)) for name in COUNTS)
    for name, parts in DETAILS.items():
        given_parts = usage.get(name)
        found = getattr(counts, name)
        for part in parts:
            expected = count(given_parts.get(part)) if isinstance(given_parts, dict) else 0
            assert (getattr(found, part) if found else 0) == expected
    for name in ("inference_geo", "speed"):
        assert getattr(counts, name) == (usage.get(name) if isinstance(usage.get(name), str) else None)


def test_what_is_written_for_an_hour_is_part_of_what_is_written() -> None:
    """Without details all of it is for five minutes. Details that say more than the sum count."""
    details = {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}
    assert counts_of({"cache_creation_input_tokens": 9}).cache_writes() == (9, 0)
    assert counts_of({"cache_creation_input_tokens": 9, "cache_creation": details}).cache_writes() == (9, 4)
    assert counts_of({"cache_creation": details}).cache_writes() == (7, 4)
    assert counts_of({}) == UsageCounts()
