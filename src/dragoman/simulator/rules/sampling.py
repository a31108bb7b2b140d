"""Rules of `temperature`, `top_p` and `top_k`: by model, API version and thinking."""

from dragoman.core.messages import JSON
from dragoman.simulator.errors import invalid_request
from dragoman.simulator.request import ApiRequest

_FIELDS = ("temperature", "top_p", "top_k")
_MIN_TOP_P_WITH_THINKING = 0.95


def ranges(request: ApiRequest) -> None:
    """Numbers are in their ranges."""
    for name in ("temperature", "top_p"):
        value = request.body.get(name)
        if value is None:
            continue
        if not _is_number(value):
            raise invalid_request(f"{name}: Input should be a valid number")
        if not 0 <= value <= 1:  # type: ignore[operator] # a number, as checked before
            raise invalid_request(f"{name}: range: 0..1")
    top_k = request.body.get("top_k")
    if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool)):
        raise invalid_request("top_k: Input should be a valid integer")


def supported(request: ApiRequest) -> None:
    """Newer models accept only the defaults, the newest API version nothing, and no model two at the same time."""
    for name in _FIELDS:
        value = request.body.get(name)
        if value is None:
            continue
        if request.is_newest_version:
            raise invalid_request(f"{name}: Extra inputs are not permitted")
        if not request.model.sampling and (name == "top_k" or value != 1):
            raise invalid_request(f"`{name}` is deprecated for this model.")
    has_both = request.body.get("temperature") is not None and request.body.get("top_p") is not None
    if request.model.sampling and has_both:
        raise invalid_request("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")


def with_thinking(request: ApiRequest) -> None:
    """Thinking requires the default temperature."""
    if request.thinking.get("type") not in ("enabled", "adaptive"):
        return
    temperature, top_p = request.body.get("temperature"), request.body.get("top_p")
    if temperature not in (None, 1):
        raise invalid_request(
            "`temperature` may only be set to 1 when thinking is enabled. Please consult our documentation at "
            "https://docs.claude.com/en/docs/build-with-claude/extended-thinking#important-considerations-when-using-"
            "extended-thinking"
        )
    if isinstance(top_p, int | float) and top_p < _MIN_TOP_P_WITH_THINKING:
        raise invalid_request(
            f"`top_p` must be greater than or equal to {_MIN_TOP_P_WITH_THINKING} or unset when thinking is enabled."
        )
    if request.body.get("top_k") is not None:
        raise invalid_request("`top_k` must be unset when thinking is enabled.")


def _is_number(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
