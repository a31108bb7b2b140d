"""Content parts of one message, as content blocks."""

from typing import assert_never

from dragoman.errors import InvalidRequest, UnsupportedFeature
from dragoman.media import Placed
from dragoman.messages import Block
from dragoman.wire.media import document, image
from dragoman.wire.openai_chat.message_schema import (
    AssistantPart,
    AudioPart,
    FilePart,
    ImagePart,
    RefusalPart,
    TextPart,
    UserPart,
)
from dragoman.wire.turns import text_blocks


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
