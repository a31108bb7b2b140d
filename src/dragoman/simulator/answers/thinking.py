"""Whether the model thinks first, and what it shows of it."""

from dragoman.messages import Block
from dragoman.simulator.call import Call
from dragoman.simulator.prompts import Prompt
from dragoman.simulator.shapes import object_of
from dragoman.simulator.signing import binding_of, sign

_SHORT = 60
_SENTENCES = {"low": 0, "medium": 1, "high": 2, "xhigh": 3, "max": 4}
_REDACTED = "Simulate: redacted thinking"


def thoughts(call: Call, prompt: Prompt) -> str:
    """What the model thinks; empty where it does not."""
    if not _thinks(call, prompt):
        return ""
    asked = prompt.text[:_SHORT].replace("\n", " ") or "nothing"
    more = _SENTENCES.get(call.effort or "medium", 1)
    return f"The user asks: {asked}." + " I consider it once more." * more


def is_redacted(prompt: Prompt) -> bool:
    """Whether the prompt asks for thinking that may not be shown."""
    return _REDACTED in prompt.text


def is_shown(call: Call) -> bool:
    """Whether the thinking text is answered: by `display`, which is `omitted` on models that always think."""
    display = call.thinking.get("display")
    return display != "omitted" if display else not call.model.always_thinks


def thinking_block(call: Call, text: str, *, redacted: bool) -> Block:
    """The signed block, its text as it is shown."""
    binding = binding_of(call.model, call.prefix, call.credential)
    if redacted:
        return {"type": "redacted_thinking", "data": sign("", binding)}
    return {"type": "thinking", "thinking": text, "signature": sign(text, binding)}


def _thinks(call: Call, prompt: Prompt) -> bool:
    """Adaptive thinking thinks from medium effort on, or where the prompt says so."""
    if _forced(call):
        return False
    match call.thinking.get("type"):
        case "enabled":
            return True
        case "adaptive":
            return call.effort != "low" or call.model.always_thinks or "think" in prompt.text.lower()
        case None:
            return call.model.always_thinks
        case _:
            return False


def _forced(call: Call) -> bool:
    return object_of(call.body.get("tool_choice")).get("type") in ("any", "tool")
