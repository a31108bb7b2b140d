"""Reasoning effort, by the rules of each model."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.catalog import MODELS, Catalog, Model
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.shared.reasoning import ReasoningEffort, ThinkingLimits, ThinkingParams, thinking_params

EFFORTS: tuple[ReasoningEffort, ...] = get_args(ReasoningEffort)
ADAPTIVE = {"type": "adaptive", "display": "summarized"}
OFF = {"type": "disabled"}
IGNORED, MAPPED, CLAMPED = (("ignored",), ("mapped",), ("clamped",))


def _params(model: str, effort: ReasoningEffort | None, **limits: object) -> tuple[object, object, tuple[str, ...]]:
    warnings: list[RequestWarning] = []
    found: ThinkingParams = thinking_params(
        effort,
        Catalog().resolve(model).model,
        ThinkingLimits(**limits),  # type: ignore[arg-type]
        warnings,
        "reasoning_effort",
    )
    assert all(warning.param == "reasoning_effort" for warning in warnings)
    return found.config, found.effort, tuple(warning.code for warning in warnings)


def _budget(tokens: int) -> dict[str, object]:
    return {"type": "enabled", "budget_tokens": tokens}


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        ("claude-sonnet-4-5", None, (None, None, ())),
        ("claude-sonnet-4-5", "none", (OFF, None, ())),
        ("claude-sonnet-4-5", "minimal", (_budget(1024), None, ())),
        ("claude-sonnet-4-5", "low", (_budget(2048), None, ())),
        ("claude-haiku-4-5", "medium", (_budget(8192), None, ())),
        ("claude-haiku-4-5", "max", (_budget(24_576), None, ())),
        ("claude-opus-4-5", "high", (_budget(16_384), "high", ())),
        ("claude-opus-4-5", "xhigh", (_budget(24_576), "high", CLAMPED)),
        ("claude-opus-4-6", "low", (ADAPTIVE, "low", ())),
        ("claude-opus-5", "none", (OFF, None, ())),
        ("claude-opus-5", "max", (ADAPTIVE, "max", ())),
        ("claude-opus-5-5", None, (None, None, ())),
        ("claude-opus-5-5", "none", (None, "low", MAPPED)),
        ("claude-opus-5-5", "minimal", (ADAPTIVE, "low", ())),
        ("claude-sonnet-5-5", "none", (None, "low", MAPPED)),
        ("claude-sonnet-5-5", "xhigh", (ADAPTIVE, "xhigh", ())),
        ("claude-haiku-5-5", "none", (OFF, None, ())),
    ],
)
def test_effort(model: str, effort: ReasoningEffort | None, expected: object) -> None:
    """Thinking, effort and warnings."""
    assert _params(model, effort) == expected


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(4096, (_budget(3072), None, ())), (1366, (_budget(1024), None, ())), (1365, (OFF, None, IGNORED))],
)
def test_a_budget_fits_under_the_limit(limit: int, expected: object) -> None:
    """With room for the text; if there is too little, thinking is disabled with a warning."""
    assert _params("claude-sonnet-4-5", "high", max_tokens=limit) == expected


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-sonnet-4-5", (OFF, None, IGNORED)),
        ("claude-opus-4-6", (OFF, "high", IGNORED)),
        ("claude-opus-5", (ADAPTIVE, "high", ())),
        ("claude-opus-5-5", (ADAPTIVE, "high", ())),
    ],
)
def test_conflicts_disable_manual_thinking(model: str, expected: object) -> None:
    """Only for models with manual thinking."""
    assert _params(model, "high", conflict="temperature") == expected


@given(
    model=st.sampled_from(MODELS),
    effort=st.sampled_from(EFFORTS),
    limit=st.none() | st.integers(1, 200_000),
    conflict=st.none() | st.just("tool_choice"),
)
def test_the_parameters_follow_the_models_rules(
    model: Model, effort: ReasoningEffort, limit: int | None, conflict: str | None
) -> None:
    """Type, budget and effort are always among those of the model."""
    found = thinking_params(effort, model, ThinkingLimits(limit, conflict), [], "reasoning_effort")
    config = found.config or {"type": next(iter(model.thinking))}
    assert config["type"] in model.thinking
    assert found.effort is None or found.effort in model.efforts
    if config["type"] == "enabled" and found.config:
        assert 1024 <= config["budget_tokens"] < (limit or 32_000)
    if found.config == OFF:
        assert found.effort not in model.thinking_required_efforts
