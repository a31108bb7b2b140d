"""Content parts of messages and results, converted to content blocks of the Messages API."""

from collections.abc import Sequence
from typing import assert_never

from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.media import Placed
from dragoman.core.messages import Block
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.responses.item_schema import (
    EncryptedContent,
    InputAudio,
    InputFile,
    InputImage,
    InputText,
    OutputText,
    Part,
    Refusal,
)
from dragoman.dialects.shared.conversation import text_blocks
from dragoman.dialects.shared.media_blocks import document_block, image_block

FOREIGN_CONTENT = "This gateway did not encrypt this content for this key, or it was changed since"
"""Why encrypted content cannot be used: the beginning of an error or warning."""


def content_blocks(
    content: str | Sequence[Part | EncryptedContent], path: str, media: list[Placed], warnings: list[RequestWarning]
) -> list[Block]:
    """Convert the content of a message or of a tool result.

    Args:
        content: A text, or content parts.
        path: Its path in the request, for errors.
        media: Receives the images and documents in it.
        warnings: Receives a warning for each part that is left out.

    Raises:
        InvalidRequest: A part is invalid; `param` names it.
    """
    if isinstance(content, str):
        return text_blocks(content)
    blocks: list[Block] = []
    for index, part in enumerate(content):
        part_path = f"{path}[{index}]"
        if isinstance(part, EncryptedContent):
            detail = f"{FOREIGN_CONTENT}; Claude cannot use it."
            warnings.append(RequestWarning("left_out", f"{part_path}.encrypted_content", detail))
        else:
            blocks += _part_blocks(part, part_path, media)
    return blocks


def text_only_blocks(content: str | Sequence[Part], path: str) -> list[Block]:
    """Convert the content of a message that may contain only text.

    Raises:
        InvalidRequest: A part is invalid or no text; `param` names it.
    """
    media: list[Placed] = []
    blocks = content_blocks(content, path, media, [])
    if media:
        detail = "Only messages with the role `user` may contain images and files. Move it to such a message."
        raise UnsupportedFeature(detail, param=media[0].param)
    return blocks


def _part_blocks(part: Part, path: str, media: list[Placed]) -> list[Block]:
    match part:
        case InputText():
            return _with_cache_breakpoint(text_blocks(part.text), part)
        case OutputText():
            return text_blocks(part.text)
        case Refusal():
            return text_blocks(part.refusal)
        case InputImage():
            placed = _image(part, path)
        case InputFile():
            placed = _file(part, path)
        case InputAudio():
            detail = "Claude does not accept audio. Send text, images or documents."
            raise UnsupportedFeature(detail, param=f"{path}.input_audio")
        case _:
            assert_never(part)
    media.append(placed)
    return _with_cache_breakpoint([placed.block], part)


def _image(part: InputImage, path: str) -> Placed:
    param = f"{path}.image_url"
    if part.image_url is not None:
        return Placed(param, image_block(part.image_url, param))
    _refuse_file_id(part.file_id, path, "Send the image itself in `image_url`.")
    raise InvalidRequest(f"Missing required parameter: `{param}`.", code="missing_required_parameter", param=param)


def _file(part: InputFile, path: str) -> Placed:
    if part.file_data is None and part.file_url is not None:
        param = f"{path}.file_url"
        return Placed(param, document_block(part.file_url, part.filename, param))
    param = f"{path}.file_data"
    if part.file_data is not None:
        return Placed(param, document_block(part.file_data, part.filename, param))
    _refuse_file_id(part.file_id, path, "Send the file itself in `file_data`.")
    raise InvalidRequest(f"Missing required parameter: `{param}`.", code="missing_required_parameter", param=param)


def _refuse_file_id(file_id: str | None, path: str, advice: str) -> None:
    if file_id is not None:
        raise UnsupportedFeature(f"`file_id` is not supported: no files are stored. {advice}", param=f"{path}.file_id")


def _with_cache_breakpoint(blocks: list[Block], part: InputText | InputImage | InputFile) -> list[Block]:
    if part.prompt_cache_breakpoint is None:
        return blocks
    return [{**block, "cache_control": {"type": "ephemeral"}} for block in blocks]
