"""The counts of a usage. Prices, limits, the ledger and the metrics are made of them.

A usage is what the API reports. Its counts may be missing or null, and a wrong one must not end a run: it counts as 0.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta, Struct

Count: TypeAlias = Annotated[int, Meta(ge=0)]


class CacheWrites(Struct, frozen=True, gc=False):
    """Tokens that were written to the cache, by their lifetime there."""

    ephemeral_5m_input_tokens: Count = 0
    ephemeral_1h_input_tokens: Count = 0


class ServerToolUses(Struct, frozen=True, gc=False):
    """How often the API has used its own tools that cost something."""

    web_search_requests: Count = 0


class OutputDetails(Struct, frozen=True, gc=False):
    """What the output was made of."""

    thinking_tokens: Count = 0


class UsageCounts(Struct, frozen=True, gc=False):
    """The counts of a usage. The fields have the API's names.

    Attributes:
        input_tokens: Input that was neither read from the cache nor written to it.
        cache_read_input_tokens: Input read from the cache.
        cache_creation_input_tokens: Input written to the cache; see `cache_writes`.
        output_tokens: Output, thinking included.
        cache_creation: What was written to the cache.
        server_tool_use: The API's own tools.
        output_tokens_details: What the output was made of.
        inference_geo: Where the call must stay.
        speed: `fast` in fast mode.
    """

    input_tokens: Count = 0
    cache_read_input_tokens: Count = 0
    cache_creation_input_tokens: Count = 0
    output_tokens: Count = 0
    cache_creation: CacheWrites | None = None
    server_tool_use: ServerToolUses | None = None
    output_tokens_details: OutputDetails | None = None
    inference_geo: str | None = None
    speed: str | None = None

    @property
    def cached(self) -> int:
        """Tokens of the prompt that are in the cache after the call."""
        return self.cache_read_input_tokens + self.cache_creation_input_tokens

    @property
    def thinking(self) -> int:
        """Output tokens that were thinking."""
        return self.output_tokens_details.thinking_tokens if self.output_tokens_details is not None else 0

    @property
    def total(self) -> int:
        """All tokens."""
        return self.input_tokens + self.cached + self.output_tokens

    def cache_writes(self) -> tuple[int, int]:
        """Return the tokens that were written to the cache, and how many of them for an hour."""
        written, details = self.cache_creation_input_tokens, self.cache_creation
        if details is None:
            return written, 0
        for_an_hour = details.ephemeral_1h_input_tokens
        return max(written, for_an_hour + details.ephemeral_5m_input_tokens), for_an_hour


def counts_of(usage: Mapping[str, object]) -> UsageCounts:
    """Return the counts of a usage. One that is missing, or not a positive number, is 0."""
    try:
        return msgspec.convert(usage, UsageCounts)
    except msgspec.ValidationError:
        return _correct_counts(usage)


def counts_of_calls(usages: Iterable[Mapping[str, object]]) -> list[UsageCounts]:
    """Return the counts of the usage of each call."""
    return [counts_of(usage) for usage in usages]


def _correct_counts(usage: Mapping[str, object]) -> UsageCounts:
    """Return the counts of a usage with a value that is not what the API documents."""

    def part(name: str) -> Mapping[str, object]:
        value = usage.get(name)
        return value if isinstance(value, Mapping) else {}

    def text(name: str) -> str | None:
        value = usage.get(name)
        return value if isinstance(value, str) else None

    writes, tools, details = part("cache_creation"), part("server_tool_use"), part("output_tokens_details")
    return UsageCounts(
        input_tokens=_count(usage, "input_tokens"),
        cache_read_input_tokens=_count(usage, "cache_read_input_tokens"),
        cache_creation_input_tokens=_count(usage, "cache_creation_input_tokens"),
        output_tokens=_count(usage, "output_tokens"),
        cache_creation=CacheWrites(
            _count(writes, "ephemeral_5m_input_tokens"), _count(writes, "ephemeral_1h_input_tokens")
        ),
        server_tool_use=ServerToolUses(_count(tools, "web_search_requests")),
        output_tokens_details=OutputDetails(_count(details, "thinking_tokens")),
        inference_geo=text("inference_geo"),
        speed=text("speed"),
    )


def _count(usage: Mapping[str, object], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and value > 0 else 0
