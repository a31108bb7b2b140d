"""Prices of models, and costs of calls."""

from decimal import Decimal

import pytest

from dragoman.core.catalog import MODELS
from dragoman.core.pricing import PRICES, cost_of, cost_of_calls, price_of

MILLION = 1_000_000


def test_every_model_of_the_catalog_has_its_own_price() -> None:
    """No model uses the price of another."""
    assert {model.id for model in MODELS} <= PRICES.keys()


@pytest.mark.parametrize(
    ("model", "priced_as"),
    [
        ("claude-opus-4-5-20251101", "claude-opus-4-5"),
        ("claude-opus-5-latest", "claude-opus-5"),
        ("claude-sonnet-7", "claude-sonnet-5-5"),
        ("claude-haiku-6-20270101", "claude-haiku-5-5"),
        ("claude-fable-9", "claude-fable-5-1"),
        ("claude-saga-6", "claude-opus-5-5"),
        ("something-else", "claude-opus-5-5"),
    ],
)
def test_other_ids_have_the_price_of_the_nearest_model(model: str, priced_as: str) -> None:
    """Dated ids have that of their model, unknown ones that of the newest model of their tier, or of all."""
    assert price_of(model) is PRICES[priced_as]


def test_the_price_of_a_token_is_an_integer() -> None:
    """In nanodollars: ledgers count in these."""
    for price in PRICES.values():
        exact = (price.input, price.output, price.cache_read, price.cache_write_5m, price.cache_write_1h)
        assert [Decimal(one) for one in price.nanodollars] == [1000 * dollars for dollars in exact]


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        ({"input_tokens": MILLION}, "4"),
        ({"output_tokens": MILLION}, "20"),
        ({"cache_read_input_tokens": MILLION}, "0.20"),
        ({"cache_creation_input_tokens": MILLION}, "5"),
        ({"cache_creation_input_tokens": MILLION, "cache_creation": {"ephemeral_1h_input_tokens": MILLION}}, "8"),
        (
            {
                "cache_creation_input_tokens": 3 * MILLION,
                "cache_creation": {"ephemeral_5m_input_tokens": MILLION, "ephemeral_1h_input_tokens": 2 * MILLION},
            },
            "21",
        ),
        ({"cache_creation": {"ephemeral_5m_input_tokens": MILLION}}, "5"),
        ({"server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 9}}, "0.03"),
        ({"input_tokens": MILLION, "speed": "fast"}, "8"),
        ({"input_tokens": MILLION, "inference_geo": "us"}, "4.4"),
        ({"input_tokens": 1, "output_tokens": 1}, "0.000024"),
        ({"input_tokens": None, "cache_creation": None, "server_tool_use": None, "output_tokens": "many"}, "0"),
        ({}, "0"),
    ],
)
def test_each_count_of_a_usage_has_its_price(usage: dict[str, object], dollars: str) -> None:
    """The cost is exact: it is not computed with floats."""
    assert cost_of(usage, "claude-opus-5-5") == Decimal(dollars)


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        ({"input_tokens": 100_000, "output_tokens": 100}, "0.01005"),
        ({"input_tokens": 50_000, "cache_read_input_tokens": 50_001, "output_tokens": 100}, "0.02775005"),
    ],
)
def test_long_prompts_cost_more_for_some_models(usage: dict[str, object], dollars: str) -> None:
    """Every token of the call costs more, output included. Cached tokens count for the length."""
    assert cost_of(usage, "claude-haiku-5-5") == Decimal(dollars)


def test_the_cost_of_several_calls_is_the_sum_of_their_costs() -> None:
    """Two short prompts do not make a long one, and a long one does not make the short one dearer."""
    short = {"input_tokens": 60_000, "output_tokens": 100}
    assert cost_of_calls([short, short], "claude-haiku-5-5") == Decimal("0.0121")
    long = {"input_tokens": 100_001, "output_tokens": 100}
    assert cost_of_calls([short, long], "claude-haiku-5-5") == Decimal("0.00605") + Decimal("0.0502505")
    assert cost_of_calls([], "claude-haiku-5-5") == 0
