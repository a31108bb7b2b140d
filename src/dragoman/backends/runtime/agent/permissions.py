"""What an agent is told where the runtime would ask a person for permission. There is nobody: the answer is no.

What a permission mode and the owner's rules allow, the runtime does without asking. So whatever is asked about is not
allowed.
"""

from dragoman.backends.runtime.agent.rules import Permitted
from dragoman.messages import JSON, JSONObject

HOOKS: JSON = {"PreToolUse": [{"matcher": None, "hookCallbackIds": ["place"]}]}
"""By which the runtime asks this side before each use of a tool, one that it may use without asking included."""

_SCOPE = {
    "plan": "In plan mode nothing may be changed: give the plan as your answer",
    "acceptEdits": "Reading and editing files below the working directory is allowed without asking",
    "dontAsk": "Only what is allowed beforehand can be done",
}
_READING = "Reading below the working directory is allowed without asking"


def refusal(mode: str, request: JSONObject) -> JSONObject:
    """The response to a `can_use_tool` request: no, in words that the model can go on from."""
    tool = str(request.get("tool_name") or "this tool")
    reason = request.get("decision_reason")
    why = f" ({reason})" if isinstance(reason, str) and reason else ""
    said = (
        f"Permission denied for {tool}{why}: nobody is here to be asked. {_SCOPE.get(mode, _READING)}. Find another "
        "way, or say in your answer what could not be done."
    )
    return {"behavior": "deny", "message": said}


def place_word(permitted: Permitted, _: JSONObject) -> JSONObject:
    """The response to a `hook_callback` request: nothing to say, unless a link now stands where a directory was.

    The runtime follows its directories' names anew at each use of a tool, wherever they lead by then.
    """
    if permitted.in_place():
        return {}
    said = "Permission denied: a directory of this agent is not where it was. Stop, and say so in your answer."
    decision: JSONObject = {"permissionDecision": "deny", "permissionDecisionReason": said}
    return {"hookSpecificOutput": {"hookEventName": "PreToolUse", **decision}}
