"""Content parts of one message, as content blocks.

Tool calls that a chat's assistant made, in the form of tools and in the one before them.

Thinking, between the Messages API's blocks and the `reasoning_details` that chat clients keep and send back.

The form of the details is the one that OpenRouter made common: `reasoning.text` with the signature that lets the API
take the thinking back, `reasoning.encrypted` for redacted thinking.

The messages of a chat, one after the other, as turns of the Messages API.
"""

from collections.abc import Iterable
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
    FunctionCall,
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
from dragoman.dialects.shared.conversation import ConversationBuilder, document, image, text_blocks
from dragoman.dialects.shared.tool_calls import ToolCallIds, arguments_of


def user_blocks(content: str | list[UserPart] | None, path: str, media: list[Placed]) -> list[Block]:
    """What a user or a tool says.

    Args:
        content: Text, parts or nothing.
        path: Where it stands in the request, for errors.
        media: Takes the images and documents among it.

    Raises:
        InvalidRequest: A part cannot be read; `param` names it.
    """
    if content is None or isinstance(content, str):
        return text_blocks(content)
    return [block for index, part in enumerate(content) for block in _user_part(part, f"{path}[{index}]", media)]


def system_blocks(content: str | list[TextPart]) -> list[Block]:
    """Instructions, as text blocks."""
    if isinstance(content, str):
        return text_blocks(content)
    return [block for part in content for block in _text_part(part)]


def assistant_blocks(content: str | list[AssistantPart] | None) -> list[Block]:
    """What the assistant said; a refusal is something said."""
    if content is None or isinstance(content, str):
        return text_blocks(content)
    return [
        block
        for part in content
        for block in (text_blocks(part.refusal) if isinstance(part, RefusalPart) else _text_part(part))
    ]


def _user_part(part: UserPart, path: str, media: list[Placed]) -> list[Block]:
    match part:
        case TextPart():
            return _text_part(part)
        case ImagePart(image_url=link):
            where = f"{path}.image_url" if isinstance(link, str) else f"{path}.image_url.url"
            placed = Placed(where, image(link if isinstance(link, str) else link.url, where))
        case FilePart():
            placed = _file(part, path)
        case AudioPart():
            raise UnsupportedFeature("Claude takes no audio.", param=f"{path}.input_audio")
        case _:
            assert_never(part)
    media.append(placed)
    return [_marked(placed.block, part)]


def _file(part: FilePart, path: str) -> Placed:
    file, where = part.file, f"{path}.file.file_data"
    if file.file_data is not None:
        return Placed(where, document(file.file_data, file.filename, where))
    if file.file_id is not None:
        raise UnsupportedFeature(
            "There is no store of files; send the file itself in `file_data`.", param=f"{path}.file.file_id"
        )
    raise InvalidRequest("A file needs `file_data`.", code="missing_required_parameter", param=where)


def _text_part(part: TextPart) -> list[Block]:
    return [_marked(block, part) for block in text_blocks(part.text)]


def _marked(block: Block, part: TextPart | ImagePart | FilePart) -> Block:
    """The block with the client's cache mark, in Claude's own form or OpenAI's."""
    if part.cache_control is not None:
        block["cache_control"] = part.cache_control
    elif part.prompt_cache_breakpoint is not None:
        block["cache_control"] = {"type": "ephemeral"}
    return block


def calls_of(message: AssistantMessage, index: int, calls: ToolCallIds) -> list[Block]:
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


def _call(call: ToolCall, path: str, calls: ToolCallIds) -> Block:
    if call.function is None:
        if call.type == "function":
            raise InvalidRequest(
                f"Missing required parameter: `{path}.function`.",
                code="missing_required_parameter",
                param=f"{path}.function",
            )
        raise UnsupportedFeature("Only calls of functions are supported.", param=f"{path}.type")
    input_ = arguments_of(call.function.arguments, f"{path}.function.arguments", calls.warnings)
    return calls.made(call.id, call.function.name, input_, id_=call.id, path=f"{path}.id")


def _legacy(call: FunctionCall, index: int, calls: ToolCallIds) -> Block:
    path = f"messages[{index}].function_call"
    input_ = arguments_of(call.arguments, f"{path}.arguments", calls.warnings)
    return calls.made(legacy_key(call.name), call.name, input_, id_=f"call_{index}", path=f"{path}.id")


FORMAT = "anthropic-claude-v1"


def detail(block: Block, index: int) -> JSONObject | None:
    """One entry of `reasoning_details`.

    Args:
        block: Any content block.
        index: The number of entries before it.

    Returns:
        The entry, or none where the block is no thinking.
    """
    kind = block.get("type")
    if kind == "thinking":
        return {
            "type": "reasoning.text",
            "text": block.get("thinking") or "",
            "signature": block.get("signature") or None,
            "format": FORMAT,
            "index": index,
        }
    if kind == "redacted_thinking":
        return {"type": "reasoning.encrypted", "data": block.get("data"), "format": FORMAT, "index": index}
    return None


def thinking_blocks(message: AssistantMessage, path: str, warnings: list[RequestWarning]) -> list[Block]:
    """The thinking that a client sends back. Without its signature the API does not take it: left out, and said."""
    details = message.reasoning_details or []
    blocks = list(_signed(details))
    if len(blocks) < len(details):
        warnings.append(_left_out(f"{path}.reasoning_details"))
    elif message.reasoning_content and not details:
        warnings.append(_left_out(f"{path}.reasoning_content"))
    return blocks


def _signed(details: Iterable[JSONObject]) -> Iterable[Block]:
    for entry in details:
        kind, text, signature, data = (entry.get(key) for key in ("type", "text", "signature", "data"))
        if kind == "reasoning.text" and isinstance(signature, str) and signature:
            yield {"type": "thinking", "thinking": text if isinstance(text, str) else "", "signature": signature}
        elif kind == "reasoning.encrypted" and isinstance(data, str) and data:
            yield {"type": "redacted_thinking", "data": data}


def _left_out(param: str) -> RequestWarning:
    return RequestWarning("ignored", param, "Thinking without Claude's signature cannot be sent back to it.")


def take(messages: list[ChatMessage], turns: ConversationBuilder, warnings: list[RequestWarning]) -> None:
    """Build the turns of a whole chat.

    Raises:
        InvalidRequest: A message cannot stand where it stands, or cannot be read; `param` names it.
    """
    for index, message in enumerate(messages):
        _add(message, index, turns, warnings)
    turns.end(f"messages[{len(messages) - 1}]")


def _add(message: ChatMessage, index: int, turns: ConversationBuilder, warnings: list[RequestWarning]) -> None:
    path = f"messages[{index}]"
    if message.name and not isinstance(message, (ToolMessage, FunctionMessage)):
        warnings.append(RequestWarning("ignored", f"{path}.name", "Claude knows no names of participants."))
    match message:
        case SystemMessage() | DeveloperMessage():
            turns.instruct(system_blocks(message.content), path)
        case UserMessage():
            turns.say(user_blocks(message.content, f"{path}.content", turns.media), path)
        case AssistantMessage():
            turns.begin_answer(path)
            turns.answer(_assistant(message, index, turns, warnings))
        case ToolMessage():
            id_ = turns.calls.answered(message.tool_call_id, f"{path}.tool_call_id")
            turns.result(id_, user_blocks(message.content, f"{path}.content", turns.media))
        case FunctionMessage():
            id_ = turns.calls.answered(legacy_key(message.name), f"{path}.name")
            turns.result(id_, user_blocks(message.content, f"{path}.content", turns.media))
        case _:
            assert_never(message)


def _assistant(
    message: AssistantMessage, index: int, turns: ConversationBuilder, warnings: list[RequestWarning]
) -> list[Block]:
    said = assistant_blocks(message.content) or assistant_blocks(message.refusal)
    thought = thinking_blocks(message, f"messages[{index}]", warnings)
    return [*thought, *said, *calls_of(message, index, turns.calls)]
