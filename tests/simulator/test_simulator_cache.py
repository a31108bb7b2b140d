"""The prompt cache: a prefix is written once and read again, separately for each credential."""

from typing import Any

from simulator_support import Ask

LONG = "word " * 4000


def marked(text: str, **ttl: str) -> dict[str, Any]:
    """Return a text block with a cache mark."""
    return {"type": "text", "text": text, "cache_control": {"type": "ephemeral", **ttl}}


async def usage(ask: Ask, **fields: Any) -> dict[str, Any]:
    """Return the usage of a response."""
    answer: Any = await ask("Hello", **fields)
    found: dict[str, Any] = answer["usage"]
    return found


async def test_marked_prefix_is_written_then_read(ask: Ask) -> None:
    """The second request reads what the first one wrote. The sum of the tokens is the same."""
    first = await usage(ask, system=[marked(LONG)])
    again = await usage(ask, system=[marked(LONG)])
    assert first["cache_creation_input_tokens"] > 4000
    assert first["cache_creation"]["ephemeral_5m_input_tokens"] == first["cache_creation_input_tokens"]
    assert again["cache_read_input_tokens"] == first["cache_creation_input_tokens"]
    assert (again["cache_creation_input_tokens"], again["input_tokens"]) == (0, first["input_tokens"])


async def test_one_hour_marks_are_counted_separately(ask: Ask) -> None:
    """The tokens of each mark are counted by its time to live."""
    written = await usage(ask, system=[marked(LONG, ttl="1h"), marked(LONG)])
    assert written["cache_creation"]["ephemeral_1h_input_tokens"] > 4000
    assert written["cache_creation"]["ephemeral_5m_input_tokens"] > 4000


async def test_other_keys_and_short_prompts_are_not_cached(ask: Ask) -> None:
    """Prompts without a mark are not cached either."""
    await usage(ask, system=[marked(LONG)])
    assert (await usage(ask, system=[marked(LONG)], headers={"x-api-key": "other"}))["cache_read_input_tokens"] == 0
    assert (await usage(ask, system=[marked("short")]))["cache_creation_input_tokens"] == 0
    assert (await usage(ask, system=LONG))["cache_creation_input_tokens"] == 0


async def test_next_turn_reads_the_previous_turn(ask: Ask) -> None:
    """A mark also finds a prefix that was cached at an earlier mark."""
    first: Any = await ask(messages=[{"role": "user", "content": [marked(LONG)]}])
    turns = [
        {"role": "user", "content": LONG},
        {"role": "assistant", "content": first["content"]},
        {"role": "user", "content": [marked("And now?")]},
    ]
    second: Any = await ask(messages=turns)
    assert second["usage"]["cache_read_input_tokens"] == first["usage"]["cache_creation_input_tokens"]
    assert second["usage"]["cache_creation_input_tokens"] > 0
