"""The parts of a message as content blocks of the Messages API."""

from collections.abc import Sequence

from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.media import Placed
from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.chat.parts import (
    AssistantPart,
    AudioPart,
    ClaudeDocumentPart,
    ClaudeImagePart,
    FilePart,
    ImagePart,
    ImageURL,
    InputFilePart,
    InputImagePart,
    InputTextPart,
    MediaSource,
    OutputTextPart,
    RedactedThinkingPart,
    RefusalPart,
    ResultPart,
    TextPart,
    ThinkingPart,
    ToolUsePart,
)
from dragoman.dialects.shared.conversation import text_blocks
from dragoman.dialects.shared.media_blocks import document_block, image_block
from dragoman.dialects.shared.tool_calls import ToolCallIds, call_arguments

UNSIGNED_THINKING = "Thinking without Claude's signature was left out: Claude does not accept it."


def user_blocks(content: str | Sequence[ResultPart] | None, path: str, media: list[Placed]) -> list[Block]:
    """Return the blocks of a user message's or a result's content.

    Args:
        content: The content.
        path: Its path in the request.
        media: Receives the images and documents in it.

    Raises:
        InvalidRequest: A part is invalid; `param` names it.
    """
    if content is None or isinstance(content, str):
        return text_blocks(content)
    return [block for index, part in enumerate(content) for block in user_part(part, f"{path}[{index}]", media)]


def user_part(part: ResultPart, path: str, media: list[Placed]) -> list[Block]:
    """Return the blocks of one part; none for blank text. Raises as `user_blocks` does."""
    match part:
        case TextPart() | InputTextPart() | OutputTextPart():
            return _text_part(part)
        case AudioPart():
            raise UnsupportedFeature(
                "Claude does not take audio. Send text, images or documents.", param=f"{path}.input_audio"
            )
        case ImagePart() | InputImagePart() | ClaudeImagePart():
            placed = _image(part, path)
        case _:
            placed = _document(part, path)
    media.append(placed)
    return [_with_cache_mark(placed.block, part)]


def instruction_blocks(content: str | Sequence[TextPart]) -> list[Block]:
    """Return the blocks of instructions."""
    if isinstance(content, str):
        return text_blocks(content)
    return [block for part in content for block in _text_part(part)]


def assistant_part(part: AssistantPart, path: str, calls: ToolCallIds) -> list[Block]:
    """Return the blocks of one part of an assistant message. A refusal is text, too.

    Raises:
        InvalidRequest: A call is invalid; `param` names it.
    """
    match part:
        case RefusalPart():
            return text_blocks(part.refusal)
        case ToolUsePart():
            return [_with_cache_mark(_tool_use(part, path, calls), part)]
        case ThinkingPart() if part.signature:
            return [{"type": "thinking", "thinking": part.thinking, "signature": part.signature}]
        case ThinkingPart():
            calls.warnings.append(RequestWarning("ignored", path, UNSIGNED_THINKING))
            return []
        case RedactedThinkingPart():
            return [{"type": "redacted_thinking", "data": part.data}]
        case _:
            return _text_part(part)


def _tool_use(part: ToolUsePart, path: str, calls: ToolCallIds) -> Block:
    given: JSON = part.input
    if given is None or isinstance(given, str):
        arguments: JSONObject = call_arguments(given, f"{path}.input", calls.warnings)
    elif isinstance(given, dict):
        arguments = given
    else:
        raise InvalidRequest(f"`{path}.input` must be an object.", code="invalid_type", param=f"{path}.input")
    return calls.add_call(part.id, part.name, arguments, id_=part.id, path=f"{path}.id")


def _image(part: ImagePart | InputImagePart | ClaudeImagePart, path: str) -> Placed:
    if isinstance(part, ClaudeImagePart):
        param = f"{path}.source"
        return Placed(param, image_block(_source_url(part.source, param), param))
    param, url = f"{path}.image_url", part.image_url
    if isinstance(url, ImageURL):
        return Placed(f"{param}.url", image_block(url.url, f"{param}.url"))
    if url is None:
        raise _no_data(part.file_id if isinstance(part, InputImagePart) else None, path, "image_url")
    return Placed(param, image_block(url, param))


def _document(part: FilePart | InputFilePart | ClaudeDocumentPart, path: str) -> Placed:
    match part:
        case ClaudeDocumentPart():
            param = f"{path}.source"
            if part.source.type == "text" and part.source.data is not None:
                source: Block = {"type": "text", "media_type": "text/plain", "data": part.source.data}
                block: Block = {"type": "document", "source": source}
                return Placed(param, {**block, "title": part.title} if part.title else block)
            return Placed(param, document_block(_source_url(part.source, param), part.title, param))
        case FilePart(file=file):
            data, name, id_, path = file.file_data, file.filename, file.file_id, f"{path}.file"
        case InputFilePart():
            data, name, id_ = part.file_data or part.file_url, part.filename, part.file_id
    param = f"{path}.file_data"
    if data is None:
        raise _no_data(id_, path, "file_data")
    return Placed(param, document_block(data, name, param))


def _source_url(source: MediaSource, param: str) -> str:
    """Return a source of the Messages API as a URL. Its type is read from the data itself."""
    if source.type == "base64" and source.data is not None:
        return f"data:;base64,{source.data}"
    if source.type == "url" and source.url is not None:
        return source.url
    raise UnsupportedFeature(
        f"`{param}` must be of type `base64`, with `data`, or `url`, with `url`.", param=f"{param}.type"
    )


def _no_data(file_id: str | None, path: str, field: str) -> InvalidRequest:
    """Return the error for a part without its data. The caller raises it."""
    if file_id is not None:
        return UnsupportedFeature(
            f"`file_id` is not supported: no files are stored. Send the file itself in `{field}`.",
            param=f"{path}.file_id",
        )
    param = f"{path}.{field}"
    return InvalidRequest(f"Missing required parameter: `{param}`.", code="missing_required_parameter", param=param)


def _text_part(part: TextPart | InputTextPart | OutputTextPart) -> list[Block]:
    return [_with_cache_mark(block, part) for block in text_blocks(part.text)]


def _with_cache_mark(block: Block, part: object) -> Block:
    """Return the block with the client's cache mark, in Claude's own form or OpenAI's."""
    if (mark := getattr(part, "cache_control", None)) is not None:
        block["cache_control"] = mark
    elif getattr(part, "prompt_cache_breakpoint", None) is not None:
        block["cache_control"] = {"type": "ephemeral"}
    return block
