"""Tool calls that a chat's assistant made, in the form of tools and in the one before them."""

from dragoman.errors import InvalidRequest, UnsupportedFeature
from dragoman.messages import Block
from dragoman.wire.calls import Calls, arguments_of
from dragoman.wire.openai_chat.message_schema import AssistantMessage, FunctionCall, ToolCall


def calls_of(message: AssistantMessage, index: int, calls: Calls) -> list[Block]:
    """The `tool_use` blocks of an assistant's message.

    Raises:
        InvalidRequest: An id stands twice in the message.
    """
    calls.path = f"messages[{index}]"
    blocks = [
        _call(call, f"{calls.path}.tool_calls[{place}]", calls) for place, call in enumerate(message.tool_calls or ())
    ]
    if message.function_call and not blocks:
        blocks.append(_legacy(message.function_call, index, calls))
    return blocks


def legacy_key(name: str) -> str:
    """How a call is known whose result names only the function."""
    return f"function {name}"


def _call(call: ToolCall, path: str, calls: Calls) -> Block:
    if call.function is None:
        if call.type == "function":
            raise InvalidRequest(
                f"Missing required parameter: `{path}.function`.",
                code="missing_required_parameter",
                param=f"{path}.function",
            )
        raise UnsupportedFeature("Only calls of functions are supported.", param=f"{path}.type")
    input_ = arguments_of(call.function.arguments, f"{path}.function.arguments", calls.notices)
    return calls.made(call.id, call.function.name, input_, id_=call.id, path=f"{path}.id")


def _legacy(call: FunctionCall, index: int, calls: Calls) -> Block:
    path = f"messages[{index}].function_call"
    input_ = arguments_of(call.arguments, f"{path}.arguments", calls.notices)
    return calls.made(legacy_key(call.name), call.name, input_, id_=f"call_{index}", path=f"{path}.id")
