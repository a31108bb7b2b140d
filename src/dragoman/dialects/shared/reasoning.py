"""OpenAI's reasoning effort, as thinking and effort of the Messages API, by the rules of the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dragoman.core.catalog import EFFORTS, Effort, Model
from dragoman.core.messages import ThinkingConfig
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
"""Tokens of thinking, for models that have a budget instead of an effort."""

SMALLEST_BUDGET = 1024
"""The API takes none below."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else of the request bears on thinking.

    Attributes:
        max_tokens: The limit of the whole answer, thinking included; none where the backend decides.
        conflict: The field of the request that manual thinking does not go with, if there is one.
    """

    max_tokens: int | None = None
    conflict: str | None = None


@dataclass(frozen=True, slots=True)
class Thinking:
    """What is sent; none where nothing is.

    Attributes:
        config: `thinking` of the body.
        effort: `output_config.effort` of the body.
    """

    config: ThinkingConfig | None = None
    effort: Effort | None = None


def plan(
    asked: ReasoningEffort | None, model: Model, around: Surroundings, warnings: list[RequestWarning], param: str
) -> Thinking:
    """How to think.

    Args:
        asked: The client's word; none leaves everything to the API's defaults.
        model: Whose rules hold.
        around: The rest of the request.
        warnings: Where to say what could not be done as asked.
        param: The client's name for the field.
    """
    if asked is None:
        return Thinking()
    if asked == "none":
        return _none(model, warnings, param)
    effort = _effort(asked, model, warnings, param)
    if around.conflict and "disabled" in model.thinking and ("enabled" in model.thinking):
        detail = f"{model.name} cannot think together with `{around.conflict}`; it answers without thinking."
        warnings.append(RequestWarning("ignored", param, detail))
        return Thinking({"type": "disabled"}, effort)
    if "adaptive" in model.thinking:
        return Thinking({"type": "adaptive", "display": "summarized"}, effort)
    return Thinking(_budgeted(asked, around.max_tokens, warnings, param), effort)


def effort_of(
    verbosity: Verbosity | None, asked: ReasoningEffort | None, model: Model, warnings: list[RequestWarning], param: str
) -> Effort | None:
    """The effort that is nearest to a verbosity, where the client asked for no effort: it governs all that is written.

    Args:
        verbosity: How much to say.
        asked: The effort that the client asked for.
        model: Whose rules hold.
        warnings: Where to say what could not be done as asked.
        param: The client's name for the field.
    """
    if verbosity in (None, "medium"):
        return None
    if asked is not None or verbosity not in model.efforts:
        detail = "Claude has nothing like `verbosity` beside its effort."
        warnings.append(RequestWarning("ignored", param, detail))
        return None
    detail = f"Claude has nothing like `verbosity`; it was asked for {verbosity} effort, which thinking follows, too."
    warnings.append(RequestWarning("mapped", param, detail))
    return "low" if verbosity == "low" else "high"


def _none(model: Model, warnings: list[RequestWarning], param: str) -> Thinking:
    if not model.always_thinks:
        return Thinking({"type": "disabled"})
    warnings.append(RequestWarning("mapped", param, f"{model.name} always thinks; it was asked for its lowest effort."))
    return Thinking(effort=model.efforts[0])


def _effort(asked: ReasoningEffort, model: Model, warnings: list[RequestWarning], param: str) -> Effort | None:
    if not model.efforts:
        return None
    wanted: Effort = "low" if asked in ("minimal", "none") else asked  # type: ignore[assignment]
    if wanted in model.efforts:
        return wanted
    warnings.append(
        RequestWarning("clamped", param, f"{model.name}'s effort ends at `{model.efforts[-1]}`; that was sent.")
    )
    return min(model.efforts[-1], wanted, key=EFFORTS.index)


def _budgeted(
    asked: ReasoningEffort, max_tokens: int | None, warnings: list[RequestWarning], param: str
) -> ThinkingConfig:
    budget = BUDGETS[asked]
    if max_tokens is not None:
        # A quarter of the limit stays for the answer itself.
        budget = min(budget, max_tokens * 3 // 4)
    if budget < SMALLEST_BUDGET:
        detail = f"A limit of {max_tokens} tokens leaves no room for thinking, which takes {SMALLEST_BUDGET} at least."
        warnings.append(RequestWarning("ignored", param, detail))
        return {"type": "disabled"}
    return {"type": "enabled", "budget_tokens": budget}
