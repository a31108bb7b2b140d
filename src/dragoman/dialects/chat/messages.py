"""The messages of a chat, added one by one to the conversation: text, media, tool calls, results and thinking.

Thinking travels in `reasoning_details`, in OpenRouter's form: `reasoning.text` with the signature that lets the API
accept the thinking again, `reasoning.encrypted` for redacted thinking.
"""

from typing import assert_never

from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.media import Placed
from dragoman.core.messages import Block, JSONObject
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.chat.schema import (
    AssistantMessage,
    AssistantPart,
    AudioPart,
    ChatMessage,
    DeveloperMessage,
    FilePart,
    FunctionMessage,
    ImagePart,
    RefusalPart,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
    UserPart,
)
from dragoman.dialects.shared.conversation import ConversationBuilder, text_blocks
from dragoman.dialects.shared.media_blocks import document_block, image_block
from dragoman.dialects.shared.tool_calls import ToolCallIds, call_arguments

REASONING_FORMAT = "anthropic-claude-v1"


def add_messages(
    messages: list[ChatMessage], conversation: ConversationBuilder, warnings: list[RequestWarning]
) -> None:
    """Add all messages of a chat to a conversation, and finish it.

    Raises:
        InvalidRequest: A message is invalid, or not allowed where it is; `param` names it.
    """
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        if message.name and not isinstance(message, ToolMessage | FunctionMessage):
            warnings.append(RequestWarning("ignored", f"{path}.name", "Claude does not take names of participants."))
        match message:
            case UserMessage():
                blocks = _user_blocks(message.content, f"{path}.content", conversation.media)
                conversation.add_user(blocks, path)
            case AssistantMessage():
                conversation.begin_assistant(path)
                conversation.add_assistant(_assistant_blocks(message, index, conversation.calls, warnings))
            case ToolMessage():
                id_ = conversation.calls.take_result(message.tool_call_id, f"{path}.tool_call_id")
                blocks = _user_blocks(message.content, f"{path}.content", conversation.media)
                conversation.add_tool_result(id_, blocks)
            case FunctionMessage():
                id_ = conversation.calls.take_result(_function_key(message.name), f"{path}.name")
                conversation.add_tool_result(id_, text_blocks(message.content))
            case SystemMessage() | DeveloperMessage():
                conversation.add_instructions(_text_blocks(message.content), path)
            case _:
                assert_never(message)
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


def _user_blocks(content: str | list[UserPart] | None, path: str, media: list[Placed]) -> list[Block]:
    """Return the blocks of a user or tool message.

    Args:
        content: The content.
        path: Its path in the request.
        media: Receives the images and documents in it.

    Raises:
        InvalidRequest: A part is invalid; `param` names it.
    """
    if content is None or isinstance(content, str):
        return text_blocks(content)
    return [block for index, part in enumerate(content) for block in _user_part(part, f"{path}[{index}]", media)]


def _user_part(part: UserPart, path: str, media: list[Placed]) -> list[Block]:
    match part:
        case TextPart():
            return _text_part(part)
        case ImagePart(image_url=image):
            url, param = (image, "image_url") if isinstance(image, str) else (image.url, "image_url.url")
            placed = Placed(f"{path}.{param}", image_block(url, f"{path}.{param}"))
        case FilePart():
            placed = _file(part, path)
        case AudioPart():
            raise UnsupportedFeature(
                "Claude does not take audio. Send text, images or documents.", param=f"{path}.input_audio"
            )
        case _:
            assert_never(part)
    media.append(placed)
    return [_with_cache_mark(placed.block, part)]


def _file(part: FilePart, path: str) -> Placed:
    file, param = part.file, f"{path}.file.file_data"
    if file.file_data is not None:
        return Placed(param, document_block(file.file_data, file.filename, param))
    if file.file_id is not None:
        raise UnsupportedFeature(
            "`file_id` is not supported: no files are stored. Send the file itself in `file_data`.",
            param=f"{path}.file.file_id",
        )
    raise InvalidRequest(f"Missing required parameter: `{param}`.", code="missing_required_parameter", param=param)


def _text_blocks(content: str | list[TextPart]) -> list[Block]:
    if isinstance(content, str):
        return text_blocks(content)
    return [block for part in content for block in _text_part(part)]


def _text_part(part: TextPart) -> list[Block]:
    return [_with_cache_mark(block, part) for block in text_blocks(part.text)]


def _with_cache_mark(block: Block, part: TextPart | ImagePart | FilePart) -> Block:
    """Return the block with the client's cache mark, in Claude's own form or OpenAI's."""
    if part.cache_control is not None:
        block["cache_control"] = part.cache_control
    elif part.prompt_cache_breakpoint is not None:
        block["cache_control"] = {"type": "ephemeral"}
    return block


def _assistant_blocks(
    message: AssistantMessage, index: int, calls: ToolCallIds, warnings: list[RequestWarning]
) -> list[Block]:
    """Return thinking, text and tool calls of an assistant message, in the API's order."""
    blocks = _thinking_blocks(message, index, warnings)
    blocks += _assistant_text(message.content) or text_blocks(message.refusal)
    calls.path = f"messages[{index}]"
    for call_index, call in enumerate(message.tool_calls or ()):
        blocks.append(_tool_call(call, f"{calls.path}.tool_calls[{call_index}]", calls))
    if message.function_call and not message.tool_calls:
        path, function = f"{calls.path}.function_call", message.function_call
        arguments = call_arguments(function.arguments, f"{path}.arguments", calls.warnings)
        key = _function_key(function.name)
        blocks.append(calls.add_call(key, function.name, arguments, id_=f"call_{index}", path=f"{path}.id"))
    return blocks


def _assistant_text(content: str | list[AssistantPart] | None) -> list[Block]:
    """Return the text of an assistant message. A refusal is text, too."""
    if content is None or isinstance(content, str):
        return text_blocks(content)
    return [
        block
        for part in content
        for block in (text_blocks(part.refusal) if isinstance(part, RefusalPart) else _text_part(part))
    ]


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
        detail = "Thinking without Claude's signature was left out: Claude does not accept it."
        warnings.append(RequestWarning("ignored", f"messages[{index}].{field}", detail))
    return blocks
