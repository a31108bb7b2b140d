"""Content parts of one item, as content blocks."""

from collections.abc import Sequence
from typing import assert_never

from dragoman.errors import InvalidRequest, UnsupportedFeature
from dragoman.media import Placed
from dragoman.messages import Block
from dragoman.wire.media import document, image
from dragoman.wire.openai_responses.item_schema import (
    InputAudio,
    InputFile,
    InputImage,
    InputText,
    OutputText,
    Part,
    Refusal,
)
from dragoman.wire.turns import text_blocks


def blocks_of(content: str | Sequence[Part], path: str, media: list[Placed]) -> list[Block]:
    """What somebody says, or what a tool gave.

    Args:
        content: Text or parts.
        path: Where it stands in the request, for errors.
        media: Takes the images and documents among it.

    Raises:
        InvalidRequest: A part cannot be read; `param` names it.
    """
    if isinstance(content, str):
        return text_blocks(content)
    return [block for index, part in enumerate(content) for block in _part(part, f"{path}[{index}]", media)]


def words_of(content: str | Sequence[Part], path: str) -> list[Block]:
    """What the assistant said, or instructions: words only.

    Raises:
        UnsupportedFeature: There is an image or a file among it.
    """
    media: list[Placed] = []
    blocks = blocks_of(content, path, media)
    if media:
        raise UnsupportedFeature("Images and files may stand in a user's message only.", param=media[0].param)
    return blocks


def _part(part: Part, path: str, media: list[Placed]) -> list[Block]:
    match part:
        case InputText():
            return _marked(text_blocks(part.text), part)
        case OutputText():
            return text_blocks(part.text)
        case Refusal():
            return text_blocks(part.refusal)
        case InputImage():
            placed = _image(part, path)
        case InputFile():
            placed = _file(part, path)
        case InputAudio():
            raise UnsupportedFeature("Claude takes no audio.", param=f"{path}.input_audio")
        case _:
            assert_never(part)
    media.append(placed)
    return _marked([placed.block], part)


def _image(part: InputImage, path: str) -> Placed:
    where = f"{path}.image_url"
    if part.image_url is not None:
        return Placed(where, image(part.image_url, where))
    _refuse_id(part.file_id, path, "send the image itself in `image_url`")
    raise InvalidRequest("An image needs `image_url`.", code="missing_required_parameter", param=where)


def _file(part: InputFile, path: str) -> Placed:
    where = f"{path}.file_url" if part.file_data is None else f"{path}.file_data"
    if (data := part.file_url if part.file_data is None else part.file_data) is not None:
        return Placed(where, document(data, part.filename, where))
    _refuse_id(part.file_id, path, "send the file itself in `file_data`")
    raise InvalidRequest("A file needs `file_data`.", code="missing_required_parameter", param=f"{path}.file_data")


def _refuse_id(file_id: str | None, path: str, instead: str) -> None:
    if file_id is not None:
        raise UnsupportedFeature(f"There is no store of files; {instead}.", param=f"{path}.file_id")


def _marked(blocks: list[Block], part: InputText | InputImage | InputFile) -> list[Block]:
    """The blocks with the client's cache mark."""
    if part.prompt_cache_breakpoint is None:
        return blocks
    return [{**block, "cache_control": {"type": "ephemeral"}} for block in blocks]
