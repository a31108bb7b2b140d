"""OpenAI's reasoning effort, as thinking and effort of the Messages API, by the rules of the model."""

from collections.abc import Mapping
from typing import Literal

from dragoman.core.catalog import EFFORTS, Effort, Model
from dragoman.core.messages import ThinkingConfig
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

Verbosity = Literal["low", "medium", "high"]

BUDGETS: Mapping[ReasoningEffort, int] = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16_384,
    "xhigh": 24_576,
    "max": 24_576,
}
"""Thinking tokens, for models that take a budget instead of an effort."""

MIN_BUDGET = 1024
"""The API's minimum."""


@value_object
class ThinkingLimits:
    """The parts of a request that limit its thinking.

    Attributes:
        max_tokens: The limit of the whole response, thinking included; None: the backend decides.
        conflict: The request's field that manual thinking cannot be combined with, if any.
    """

    max_tokens: int | None = None
    conflict: str | None = None


@value_object
class ThinkingParams:
    """The parameters of the Messages API; None: not sent.

    Attributes:
        config: `thinking` of the body.
        effort: `output_config.effort` of the body.
    """

    config: ThinkingConfig | None = None
    effort: Effort | None = None


def thinking_params(
    effort: ReasoningEffort | None, model: Model, limits: ThinkingLimits, warnings: list[RequestWarning], param: str
) -> ThinkingParams:
    """Return the thinking parameters for a reasoning effort.

    Args:
        effort: The client's effort; None leaves everything to the API's defaults.
        model: The model that will respond.
        limits: The rest of the request.
        warnings: Receives a warning for each change.
        param: The client's name for the field.
    """
    if effort is None:
        return ThinkingParams()
    if effort == "none":
        if not model.always_thinks:
            return ThinkingParams({"type": "disabled"})
        detail = f"{model.name} always thinks; its lowest effort was sent."
        warnings.append(RequestWarning("mapped", param, detail))
        return ThinkingParams(effort=model.efforts[0])
    api_effort = _clamped_effort(effort, model, warnings, param)
    if limits.conflict and "disabled" in model.thinking and "enabled" in model.thinking:
        detail = f"{model.name} cannot think together with `{limits.conflict}`; it responds without thinking."
        warnings.append(RequestWarning("ignored", param, detail))
        return ThinkingParams({"type": "disabled"}, api_effort)
    if "adaptive" in model.thinking:
        return ThinkingParams({"type": "adaptive", "display": "summarized"}, api_effort)
    return ThinkingParams(_budget_config(effort, limits.max_tokens, warnings, param), api_effort)


def verbosity_effort(
    verbosity: Verbosity | None,
    effort: ReasoningEffort | None,
    model: Model,
    warnings: list[RequestWarning],
    param: str,
) -> Effort | None:
    """Return the effort that is nearest to a verbosity, if the client set no effort: effort governs all output.

    Args:
        verbosity: The client's verbosity.
        effort: The client's effort.
        model: The model that will respond.
        warnings: Receives a warning for each change.
        param: The client's name for the field.
    """
    if verbosity in (None, "medium"):
        return None
    if effort is not None or verbosity not in model.efforts:
        detail = "Claude has no `verbosity` apart from its effort."
        warnings.append(RequestWarning("ignored", param, detail))
        return None
    detail = f"Claude has no `verbosity`; {verbosity} effort was sent, which also governs thinking."
    warnings.append(RequestWarning("mapped", param, detail))
    return "low" if verbosity == "low" else "high"


def _clamped_effort(effort: ReasoningEffort, model: Model, warnings: list[RequestWarning], param: str) -> Effort | None:
    if not model.efforts:
        return None
    api_effort: Effort = "low" if effort in ("minimal", "none") else effort  # type: ignore[assignment] # not narrowed
    if api_effort in model.efforts:
        return api_effort
    detail = f"The highest effort of {model.name} is `{model.efforts[-1]}`; that was sent."
    warnings.append(RequestWarning("clamped", param, detail))
    return min(model.efforts[-1], api_effort, key=EFFORTS.index)


def _budget_config(
    effort: ReasoningEffort, max_tokens: int | None, warnings: list[RequestWarning], param: str
) -> ThinkingConfig:
    budget = BUDGETS[effort]
    if max_tokens is not None:
        # A quarter of the limit stays for the text.
        budget = min(budget, max_tokens * 3 // 4)
    if budget < MIN_BUDGET:
        detail = f"Thinking needs at least {MIN_BUDGET} tokens; the limit of {max_tokens} tokens leaves too few."
        warnings.append(RequestWarning("ignored", param, detail))
        return {"type": "disabled"}
    return {"type": "enabled", "budget_tokens": budget}
