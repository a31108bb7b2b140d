"""Prices: the list prices of the models, and the cost of a call from its usage.

Facts of 2026-10-24, from the provider's price list (https://platform.claude.com/docs/en/about-claude/pricing). Bedrock
and Vertex set their own prices, which are the same for most regions. Discounts of contracts are not known here.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

from dragoman.core.usage_counts import UsageCounts, counts_of, counts_of_calls

AS_OF = "2026-10-24"
"""The day on which the prices were last compared with the provider's list."""

WEB_SEARCH = Decimal("0.01")
"""Dollars for each web search that the API makes. A fetched page costs its tokens only."""

_US_ONLY_TENTHS = 11
"""Tenths of the price of a call that must stay in the US. Costs are computed in tenths of a nanodollar: in integers."""
_TENTHS_PER_DOLLAR = 10**10
_WEB_SEARCH_TENTHS = int(WEB_SEARCH * _TENTHS_PER_DOLLAR)


@dataclass(frozen=True, slots=True)
class Price:
    """A model's price, in dollars for a million tokens.

    Attributes:
        input: Input tokens, without the cache.
        output: Output tokens, thinking included.
        cache_read: Tokens read from the cache.
        cache_write_5m: Tokens written to the cache for five minutes.
        cache_write_1h: Tokens written to the cache for an hour.
        fast: Factor of all prices in fast mode; 1 if the model has no fast mode.
        long_above: Length of a prompt in tokens, cached ones included, above which the factor `long` applies; 0: never.
        long: Factor of all prices of a call with a long prompt.
        nanodollars: The first five prices in nanodollars for a token, which is a whole number for every model.
    """

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    fast: int = 1
    long_above: int = 0
    long: int = 1
    nanodollars: tuple[int, int, int, int, int] = field(init=False)

    def __post_init__(self) -> None:
        """Compute what every run reads."""
        prices = (self.input, self.output, self.cache_read, self.cache_write_5m, self.cache_write_1h)
        object.__setattr__(self, "nanodollars", tuple(int(price * 1000) for price in prices))


def _price(input_: str, output: str, cache_read: str, *, fast: int = 1, long: tuple[int, int] = (0, 1)) -> Price:
    """Return a price of the list. Writing to the cache costs 1.25 or 2 times the price of input."""
    price = Decimal(input_)
    writes = price * Decimal("1.25"), price * 2
    return Price(price, Decimal(output), Decimal(cache_read), *writes, fast, *long)


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
"""Prices by model id, the newest first."""

_DATED = re.compile(r"(claude-.+?)-(?:\d{8}|latest)")
_TIER = re.compile(r"claude-[a-z]+-")


def price_of(model: str) -> Price:
    """Return a model's price. An unknown model has the price of the newest of its tier, or else of the newest model."""
    if known := PRICES.get(model):
        return known
    if (dated := _DATED.fullmatch(model)) and (known := PRICES.get(dated[1])):
        return known
    tier = _TIER.match(model)
    return next((price for id_, price in PRICES.items() if tier and id_.startswith(tier[0])), PRICES["claude-opus-5-5"])


def cost_of(usage: Mapping[str, object], model: str) -> Decimal:
    """Return the exact cost of a call, in dollars.

    Args:
        usage: `usage` of a message, as the API reports it. For the sum of several calls the cost is too high if the
            model's long prompts cost more: see `cost_of_calls`.
        model: The model's id.
    """
    return _dollars(sum(_tenths(counts_of(usage), model)))


def cost_parts(usage: Mapping[str, object], model: str) -> dict[str, Decimal]:
    """Return the exact cost of each part of a call, in dollars.

    Args:
        usage: See `cost_of`.
        model: The model's id.

    Returns:
        The cost of `input`, `cache_read`, `cache_write`, `output` and `web_search`.
    """
    input_, cache_read, cache_write, output, web_search = map(_dollars, _tenths(counts_of(usage), model))
    return {
        "input": input_,
        "cache_read": cache_read,
        "cache_write": cache_write,
        "output": output,
        "web_search": web_search,
    }


def cost_of_calls(usages: Iterable[Mapping[str, object]], model: str) -> Decimal:
    """Return the exact cost of several calls, in dollars: the sum of their costs.

    Args:
        usages: The usage of each call.
        model: The model's id.
    """
    return sum((cost_of(usage, model) for usage in usages), Decimal(0))


def nanodollars_of_calls(usages: Iterable[Mapping[str, object]], model: str) -> int:
    """Return the cost of several calls in nanodollars; see `nanodollars_of`."""
    return nanodollars_of(counts_of_calls(usages), model)


def nanodollars_of(calls: Sequence[UsageCounts], model: str) -> int:
    """Return the cost of several calls in nanodollars, each rounded up: billionths of a dollar, as ledgers count."""
    return sum([-(-sum(_tenths(counts, model)) // 10) for counts in calls])


def max_nanodollars(model: str, input_: int, output: int, *, fast: bool = False) -> int:
    """Return the most that a call can cost, in nanodollars, without the API's own tools.

    All input may be written to the cache for an hour, and the account may let calls stay in the US only.

    Args:
        model: The model's id.
        input_: Input tokens, at most.
        output: Output tokens, at most.
        fast: Whether the call asks for fast mode.
    """
    price = price_of(model)
    factor = price.fast if fast else price.long if price.long_above and input_ > price.long_above else 1
    _, per_output, _, _, per_input = price.nanodollars
    return -(-(input_ * per_input + output * per_output) * factor * _US_ONLY_TENTHS // 10)


def _dollars(tenths: int) -> Decimal:
    return Decimal(tenths) / _TENTHS_PER_DOLLAR


def _tenths(counts: UsageCounts, model: str) -> tuple[int, int, int, int, int]:
    """Return the cost of each part of a call in tenths of a nanodollar, in the order of `cost_parts`."""
    price = price_of(model)
    per_input, per_output, per_read, per_write_5m, per_write_1h = price.nanodollars
    uncached, cached = counts.input_tokens, counts.cache_read_input_tokens
    written, written_1h = counts.cache_writes()
    tools = counts.server_tool_use
    factor = _US_ONLY_TENTHS if counts.inference_geo == "us" else 10
    if counts.speed == "fast":
        factor *= price.fast
    elif price.long_above and uncached + cached + written > price.long_above:
        factor *= price.long
    return (
        factor * uncached * per_input,
        factor * cached * per_read,
        factor * ((written - written_1h) * per_write_5m + written_1h * per_write_1h),
        factor * counts.output_tokens * per_output,
        tools.web_search_requests * _WEB_SEARCH_TENTHS if tools is not None else 0,
    )
