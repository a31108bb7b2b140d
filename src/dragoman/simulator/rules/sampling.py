"""`temperature`, `top_p` and `top_k`: by model, API version and thinking."""

from dragoman.messages import JSON
from dragoman.simulator.call import Call
from dragoman.simulator.problem import refuse

_FIELDS = ("temperature", "top_p", "top_k")
_LEAST_TOP_P = 0.95


def ranges(call: Call) -> None:
    """Numbers within their ranges."""
    for name in ("temperature", "top_p"):
        value = call.body.get(name)
        if value is None:
            continue
        if not _is_number(value):
            raise refuse(f"{name}: Input should be a valid number")
        if not 0 <= value <= 1:  # type: ignore[operator]
            raise refuse(f"{name}: range: 0..1")
    top_k = call.body.get("top_k")
    if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool)):
        raise refuse("top_k: Input should be a valid integer")


def taken(call: Call) -> None:
    """Newer models take only the defaults; the newest API version none at all; no model takes two at once."""
    for name in _FIELDS:
        value = call.body.get(name)
        if value is None:
            continue
        if call.newest_version:
            raise refuse(f"{name}: Extra inputs are not permitted")
        if not call.model.sampling and (name == "top_k" or value != 1):
            raise refuse(f"`{name}` is deprecated for this model.")
    if call.model.sampling and call.body.get("temperature") is not None and call.body.get("top_p") is not None:
        raise refuse("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")


def with_thinking(call: Call) -> None:
    """Thinking wants the default temperature."""
    if call.thinking.get("type") not in ("enabled", "adaptive"):
        return
    temperature, top_p = call.body.get("temperature"), call.body.get("top_p")
    if temperature not in (None, 1):
        raise refuse(
            "`temperature` may only be set to 1 when thinking is enabled. Please consult our documentation at "
            "https://docs.claude.com/en/docs/build-with-claude/extended-thinking#important-considerations-when-using-"
            "extended-thinking"
        )
    if isinstance(top_p, int | float) and top_p < _LEAST_TOP_P:
        raise refuse(f"`top_p` must be greater than or equal to {_LEAST_TOP_P} or unset when thinking is enabled.")
    if call.body.get("top_k") is not None:
        raise refuse("`top_k` must be unset when thinking is enabled.")


def _is_number(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
