"""Thinking before the answer: whether the model thinks, its text, and whether the response shows the text."""

from dragoman.core.messages import Block
from dragoman.simulator.request import ApiRequest, Prompt
from dragoman.simulator.signing import binding_for, sign

_MAX_QUOTED_CHARACTERS = 60
_SENTENCES_BY_EFFORT = {"low": 0, "medium": 1, "high": 2, "xhigh": 3, "max": 4}
_REDACTED = "Simulate: redacted thinking"


def thinking_text(request: ApiRequest, prompt: Prompt) -> str:
    """Return the model's thinking; empty if it does not think."""
    if not _thinks(request, prompt):
        return ""
    quoted = prompt.text[:_MAX_QUOTED_CHARACTERS].replace("\n", " ") or "nothing"
    sentences = _SENTENCES_BY_EFFORT.get(request.effort or "medium", 1)
    return f"The user asks: {quoted}." + " I consider it once more." * sentences


def is_redacted(prompt: Prompt) -> bool:
    """Return whether the prompt asks for redacted thinking."""
    return _REDACTED in prompt.text


def is_shown(request: ApiRequest) -> bool:
    """Return whether the response has the text: by `display`. The default of models that always think is `omitted`."""
    display = request.thinking.get("display")
    return display != "omitted" if display else not request.model.always_thinks


def thinking_block(request: ApiRequest, text: str, *, redacted: bool) -> Block:
    """Return the signed block. `text` is the text that is shown."""
    binding = binding_for(request.model, request.prefix_hash, request.credential)
    if redacted:
        return {"type": "redacted_thinking", "data": sign("", binding)}
    return {"type": "thinking", "thinking": text, "signature": sign(text, binding)}


def _thinks(request: ApiRequest, prompt: Prompt) -> bool:
    """Adaptive thinking happens at medium effort and above, or if the prompt asks for it."""
    if request.tool_choice.get("type") in ("any", "tool"):
        return False
    match request.thinking.get("type"):
        case "enabled":
            return True
        case "adaptive":
            return request.effort != "low" or request.model.always_thinks or "think" in prompt.text.lower()
        case None:
            return request.model.always_thinks
        case _:
            return False
