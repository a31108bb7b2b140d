"""The messages of a chat, added one by one to the conversation: text, media, tool calls, results and thinking.

Thinking travels in `reasoning_details`, in OpenRouter's form: `reasoning.text` with the signature that lets the API
accept the thinking again, `reasoning.encrypted` for redacted thinking.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, assert_never, final

from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import Block, JSONObject
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.chat.content import (
    UNSIGNED_THINKING,
    assistant_part,
    instruction_blocks,
    user_blocks,
    user_part,
)
from dragoman.dialects.chat.parts import ToolResultPart, ToolUsePart
from dragoman.dialects.chat.schema import (
    AssistantMessage,
    ChatMessage,
    DeveloperMessage,
    FunctionMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from dragoman.dialects.shared.conversation import ConversationBuilder, PlainRun, PlainTurn, text_blocks
from dragoman.dialects.shared.tool_calls import ToolCallIds, call_arguments

REASONING_FORMAT = "anthropic-claude-v1"


@final
@dataclass(slots=True, kw_only=True, eq=False)
class PlainMessage(PlainTurn):
    """A message that was translated before; see `plain`.

    Attributes:
        message: The message itself.
    """

    message: ChatMessage


AnyMessage: TypeAlias = ChatMessage | PlainMessage


def add_messages(
    messages: Sequence[AnyMessage],
    conversation: ConversationBuilder,
    warnings: list[RequestWarning],
    runs: Sequence[PlainRun] = (),
) -> None:
    """Add all messages of a chat to a conversation, and finish it.

    Args:
        messages: The messages.
        conversation: The conversation.
        warnings: Receives a warning for each change.
        runs: See `ConversationBuilder.add_plain`.

    Raises:
        InvalidRequest: A message is invalid, or not allowed where it is; `param` names it.
    """
    index = 0
    while (index := conversation.add_plain(messages, index, runs)) < len(messages):
        given = messages[index]
        _add_message(given.message if isinstance(given, PlainMessage) else given, index, conversation, warnings)
        index += 1
    conversation.finish(f"messages[{len(messages) - 1}]")


def reasoning_detail(block: Block, index: int) -> JSONObject | None:
    """Return one entry of `reasoning_details`; None if the block is not thinking.

    Args:
        block: Any content block.
        index: The number of entries before it.
    """
    if block.get("type") == "thinking":
        return {
            "type": "reasoning.text",
            "text": block.get("thinking") or "",
            "signature": block.get("signature") or None,
            "format": REASONING_FORMAT,
            "index": index,
        }
    if block.get("type") == "redacted_thinking":
        return {"type": "reasoning.encrypted", "data": block.get("data"), "format": REASONING_FORMAT, "index": index}
    return None


def assistant_blocks(
    message: AssistantMessage, index: int, calls: ToolCallIds, warnings: list[RequestWarning]
) -> list[Block]:
    """Return thinking, text and tool calls of an assistant message, in the API's order."""
    path = calls.path = f"messages[{index}]"
    blocks: list[Block] = []
    if message.reasoning_details or message.reasoning_content:
        blocks = _thinking_blocks(message, index, warnings)
    content, in_content = message.content, frozenset[str]()
    if isinstance(content, list) and content:
        in_content = frozenset(part.id for part in content if isinstance(part, ToolUsePart))
        written = [
            block for at, part in enumerate(content) for block in assistant_part(part, f"{path}.content[{at}]", calls)
        ]
    else:
        written = text_blocks(content) if isinstance(content, str) else []
    blocks += written or text_blocks(message.refusal)
    if message.tool_calls:
        blocks += [
            _tool_call(call, f"{path}.tool_calls[{call_index}]", calls)
            for call_index, call in enumerate(message.tool_calls)
            if call.id not in in_content  # some clients send each call in both forms
        ]
    if message.function_call and not message.tool_calls:
        function = message.function_call
        arguments = call_arguments(function.arguments, f"{path}.function_call.arguments", calls.warnings)
        key, id_path = _function_key(function.name), f"{path}.function_call.id"
        blocks.append(calls.add_call(key, function.name, arguments, id_=f"call_{index}", path=id_path))
    return blocks


def _add_message(
    message: ChatMessage, index: int, conversation: ConversationBuilder, warnings: list[RequestWarning]
) -> None:
    path = f"messages[{index}]"
    if message.name and not isinstance(message, ToolMessage | FunctionMessage):
        warnings.append(RequestWarning("ignored", f"{path}.name", "Claude does not take names of participants."))
    match message:
        case UserMessage():
            _add_user(message, path, conversation)
        case AssistantMessage():
            conversation.begin_assistant(path)
            conversation.add_assistant(assistant_blocks(message, index, conversation.calls, warnings))
        case ToolMessage():
            id_ = conversation.calls.take_result(message.tool_call_id, f"{path}.tool_call_id")
            blocks = user_blocks(message.content, f"{path}.content", conversation.media)
            conversation.add_tool_result(id_, blocks)
        case FunctionMessage():
            id_ = conversation.calls.take_result(_function_key(message.name), f"{path}.name")
            conversation.add_tool_result(id_, text_blocks(message.content))
        case SystemMessage() | DeveloperMessage():
            conversation.add_instructions(instruction_blocks(message.content), path)
        case _:
            assert_never(message)


def _add_user(message: UserMessage, path: str, conversation: ConversationBuilder) -> None:
    """Add a user message. Results in it, in the form of the Messages API, come first."""
    content = message.content
    if isinstance(content, str):
        conversation.add_user(text_blocks(content), path)
        return
    if not content:
        conversation.add_user([], path)
        return
    others = [(index, part) for index, part in enumerate(content) if not isinstance(part, ToolResultPart)]
    for index, part in enumerate(content):
        if isinstance(part, ToolResultPart):
            place = f"{path}.content[{index}]"
            id_ = conversation.calls.take_result(part.tool_use_id, f"{place}.tool_use_id")
            blocks = user_blocks(part.content, f"{place}.content", conversation.media)
            conversation.add_tool_result(id_, blocks, is_error=bool(part.is_error))
    if others:
        blocks = [
            block for index, part in others for block in user_part(part, f"{path}.content[{index}]", conversation.media)
        ]
        conversation.add_user(blocks, path)


def _tool_call(call: ToolCall, path: str, calls: ToolCallIds) -> Block:
    if call.function is None:
        param = f"{path}.function"
        if call.type == "function":
            raise InvalidRequest(
                f"Missing required parameter: `{param}`.", code="missing_required_parameter", param=param
            )
        raise UnsupportedFeature(
            f"Tool calls of type `{call.type[:60]}` are not supported. Use `function`.", param=f"{path}.type"
        )
    arguments = call_arguments(call.function.arguments, f"{path}.function.arguments", calls.warnings)
    return calls.add_call(call.id, call.function.name, arguments, id_=call.id, path=f"{path}.id")


def _function_key(name: str) -> str:
    """Return the key of a legacy call: its result names only the function."""
    return f"function {name}"


def _thinking_blocks(message: AssistantMessage, index: int, warnings: list[RequestWarning]) -> list[Block]:
    """Return the thinking that a client sends back. Without its signature the API does not accept it."""
    blocks: list[Block] = []
    details = message.reasoning_details or []
    for entry in details:
        kind, text, signature, data = (entry.get(key) for key in ("type", "text", "signature", "data"))
        if kind == "reasoning.text" and isinstance(signature, str) and signature:
            thinking = text if isinstance(text, str) else ""
            blocks.append({"type": "thinking", "thinking": thinking, "signature": signature})
        elif kind == "reasoning.encrypted" and isinstance(data, str) and data:
            blocks.append({"type": "redacted_thinking", "data": data})
    if len(blocks) < len(details) or (message.reasoning_content and not details):
        field = "reasoning_details" if details else "reasoning_content"
        warnings.append(RequestWarning("ignored", f"messages[{index}].{field}", UNSIGNED_THINKING))
    return blocks
