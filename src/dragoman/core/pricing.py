"""What Claude costs: the list prices of the models, and the cost of what one call used.

Facts of 2026-10-24, from the provider's price list (https://platform.claude.com/docs/en/about-claude/pricing). Bedrock
and Vertex set their own prices, which for most regions are these. What a contract takes off is not known here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

AS_OF = "2026-10-24"
"""When the prices were last compared with the provider's list."""

WEB_SEARCH = Decimal("0.01")
"""Dollars for each search that the API makes itself. It fetches pages for the price of their tokens."""

_US_ONLY = Decimal("1.1")
_PER_TOKEN = Decimal("1e-6")
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for a million tokens.

    Attributes:
        input: Read without the cache.
        output: Written, thinking included.
        cache_read: Read from the cache.
        cache_write_5m: Written to the cache for five minutes.
        cache_write_1h: Written to the cache for an hour.
        fast: What all of it is multiplied by in fast mode; 1 where there is none.
        long_above: Tokens of a prompt, cached ones included, above which every token of the call costs `long` times as
            much; 0: none.
        long: See there.
    """

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    fast: Decimal = Decimal(1)
    long_above: int = 0
    long: Decimal = Decimal(1)


def _price(input_: str, output: str, cache_read: str, *, fast: int = 1, long: tuple[int, int] = (0, 1)) -> Price:
    """A price as the list has it: the cache is written for 1.25 and 2 times what is read without it."""
    read = Decimal(input_)
    writes = read * Decimal("1.25"), read * 2
    return Price(read, Decimal(output), Decimal(cache_read), *writes, Decimal(fast), long[0], Decimal(long[1]))


PRICES: Mapping[str, Price] = MappingProxyType(
    {
        "claude-opus-5-5": _price("4", "20", "0.20", fast=2),
        "claude-sonnet-5-5": _price("2", "10", "0.10"),
        "claude-haiku-5-5": _price("0.10", "0.50", "0.01", long=(100_000, 5)),
        "claude-fable-5-1": _price("10", "50", "0.25"),
        "claude-fable-5": _price("10", "50", "1"),
        "claude-opus-5": _price("5", "25", "0.50", fast=2),
        "claude-sonnet-5": _price("2", "10", "0.20"),
        "claude-opus-4-8": _price("5", "25", "0.50", fast=2),
        "claude-opus-4-7": _price("5", "25", "0.50", fast=6),
        "claude-opus-4-6": _price("5", "25", "0.50", fast=6),
        "claude-sonnet-4-6": _price("3", "15", "0.30"),
        "claude-opus-4-5": _price("5", "25", "0.50"),
        "claude-sonnet-4-5": _price("3", "15", "0.30"),
        "claude-haiku-4-5": _price("1", "5", "0.10"),
    }
)
"""By model, the newest first."""

_DATED = re.compile(r"(claude-.+?)-(?:\d{8}|latest)")
_TIER = re.compile(r"claude-[a-z]+-")


def price_of(model: str) -> Price:
    """The price of a model, by its id; of an unknown one, that of the newest of its tier, or else of the newest."""
    if known := PRICES.get(model):
        return known
    if (dated := _DATED.fullmatch(model)) and (known := PRICES.get(dated[1])):
        return known
    tier = _TIER.match(model)
    return next((price for id_, price in PRICES.items() if tier and id_.startswith(tier[0])), PRICES["claude-opus-5-5"])


def cost_of(usage: Mapping[str, object], model: str) -> Decimal:
    """The dollars that one call costs, exactly.

    Args:
        usage: As the API reports it, `usage` of a message. Of a sum over several calls the cost is right, too, but for
            models whose long prompts cost more.
        model: The model's id.
    """
    price = price_of(model)
    read, cached = _count(usage, "input_tokens"), _count(usage, "cache_read_input_tokens")
    written, for_an_hour = _writes(usage)
    dollars = _PER_TOKEN * (
        read * price.input
        + cached * price.cache_read
        + (written - for_an_hour) * price.cache_write_5m
        + for_an_hour * price.cache_write_1h
        + _count(usage, "output_tokens") * price.output
    )
    if usage.get("speed") == "fast":
        dollars *= price.fast
    elif price.long_above and read + cached + written > price.long_above:
        dollars *= price.long
    if usage.get("inference_geo") == "us":
        dollars *= _US_ONLY
    searches = usage.get("server_tool_use")
    return dollars + (_count(searches, "web_search_requests") * WEB_SEARCH if searches else _NOTHING)


def _writes(usage: Mapping[str, object]) -> tuple[int, int]:
    """Tokens written to the cache, and how many of them for an hour."""
    parts = usage.get("cache_creation")
    for_an_hour = _count(parts, "ephemeral_1h_input_tokens")
    told = _count(usage, "cache_creation_input_tokens")
    return max(told, for_an_hour + _count(parts, "ephemeral_5m_input_tokens")), for_an_hour


def _count(usage: object, name: str) -> int:
    """A figure of the API's; what is none counts as nothing."""
    value = usage.get(name) if isinstance(usage, Mapping) else None
    return value if isinstance(value, int) and value > 0 else 0
