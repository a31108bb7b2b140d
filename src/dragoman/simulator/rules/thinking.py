"""Rules of the `thinking` field, and of thinking blocks in a tool loop."""

from dragoman.simulator.errors import invalid_request
from dragoman.simulator.json_values import int_of, text_of
from dragoman.simulator.request import ApiRequest
from dragoman.simulator.rules.tools import merge_turns

_TYPES = ("adaptive", "between_tools", "disabled", "enabled")
_DISPLAYS = (None, "summarized", "omitted", "updates")
_MIN_BUDGET_TOKENS = 1024
_DOCS = "https://docs.claude.com/en/docs/build-with-claude/extended-thinking"


def type_and_display(request: ApiRequest) -> None:
    """The type is known, and the model accepts it at this effort."""
    if not request.thinking:
        return
    kind = text_of(request.thinking.get("type"))
    if kind not in _TYPES:
        tags = ", ".join(f"'{tag}'" for tag in _TYPES)
        raise invalid_request(
            f"thinking: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}"
        )
    if request.thinking.get("display") not in _DISPLAYS:
        raise invalid_request(f"thinking.{kind}.display: Input should be 'summarized' or 'omitted'")
    if kind not in request.model.thinking:
        raise invalid_request(_unsupported_type(kind))
    if kind == "disabled" and request.effort in request.model.thinking_required_efforts:
        raise invalid_request(f'"thinking.type.disabled" is not supported for this model at effort "{request.effort}".')


def budget(request: ApiRequest) -> None:
    """The budget is at least 1024 tokens, and less than `max_tokens`."""
    if request.thinking.get("type") != "enabled":
        return
    tokens = int_of(request.thinking.get("budget_tokens"))
    if tokens is None:
        raise invalid_request("thinking.enabled.budget_tokens: Field required")
    if tokens < _MIN_BUDGET_TOKENS:
        raise invalid_request(
            f"thinking.enabled.budget_tokens: Input should be greater than or equal to {_MIN_BUDGET_TOKENS}"
        )
    max_tokens = int_of(request.body.get("max_tokens"))
    if max_tokens is not None and tokens >= max_tokens:
        raise invalid_request(
            "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at "
            f"{_DOCS}#max-tokens-and-context-window-size"
        )


def forced_tools(request: ApiRequest) -> None:
    """Manual thinking and forced tools exclude each other."""
    is_forced = request.tool_choice.get("type") in ("any", "tool")
    if is_forced and request.thinking.get("type") == "enabled":
        raise invalid_request("Thinking may not be enabled when tool_choice forces tool use.")


def tool_loop(request: ApiRequest) -> None:
    """With manual thinking, the assistant's turn of an open tool loop, or a prefill, begins with thinking."""
    if request.thinking.get("type") != "enabled":
        return
    turns = [turn for turn in merge_turns(request) if turn.role != "system"]
    last = turns[-1]
    if last.role == "user" and not any(located.block["type"] == "tool_result" for located in last.blocks):
        return
    assistant_turns = [turn for turn in turns if turn.role == "assistant"]
    for turn in assistant_turns[-1:]:
        first = turn.blocks[0]
        if first.block["type"] not in ("thinking", "redacted_thinking"):
            raise invalid_request(
                f"{first.path}.type: Expected `thinking` or `redacted_thinking`, but found "
                f"`{first.block['type']}`. When `thinking` is enabled, a final `assistant` message must start with a "
                "thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks). We recommend you "
                "include thinking blocks from previous turns. To avoid this requirement, disable `thinking`. Please "
                f"consult our documentation at {_DOCS}"
            )


def _unsupported_type(kind: str) -> str:
    match kind:
        case "enabled":
            return (
                '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
                '"output_config.effort" to control thinking behavior.'
            )
        case "disabled":
            return (
                '"thinking.type.disabled" is not supported for this model. Thinking defaults to adaptive mode when not '
                "specified."
            )
        case "adaptive":
            return "adaptive thinking is not supported on this model"
        case _:
            return f'"thinking.type.{kind}" is not supported for this model.'
