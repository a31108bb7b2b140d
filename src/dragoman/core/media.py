"""The width and height of an image, read from its header.

Sources: https://www.w3.org/TR/png-3/#11IHDR, https://www.w3.org/Graphics/GIF/spec-gif89a.txt,
https://www.w3.org/Graphics/JPEG/itu-t81.pdf (B.2.2), https://developers.google.com/speed/webp/docs/riff_container

Images and documents by their own bytes, and the API's limits on them.

Names and labels are not believed: clients often call a JPEG a PNG, and the API refuses that.
"""

import base64
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import Block

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a JPEG frame's header; the three between them are tables and a reserved one."""

_LOW_14 = 0x3FFF


def image_size(head: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, or None where the header cannot be read.

    Args:
        head: The image, or its beginning; in a JPEG much may stand before the size.
    """
    try:
        if head.startswith(b"\x89PNG") and head[12:16] == b"IHDR":
            return _pair(">II", head, 16)
        if head.startswith(b"GIF8"):
            return _pair("<HH", head, 6)
        if head.startswith(b"\xff\xd8"):
            return _jpeg(head)
        return _webp(head) if head.startswith(b"RIFF") else None
    except struct.error:
        return None


def _jpeg(head: bytes) -> tuple[int, int] | None:
    at = 2
    while (at := head.find(b"\xff", at)) >= 0:  # decoders, too, skip what stands between markers
        marker, length = struct.unpack_from(">BH", head, at + 1)
        if marker == 0xFF:  # noqa: PLR2004 - a fill byte before a marker
            at += 1
        elif marker in _FRAMES:
            height, width = _pair(">HH", head, at + 5)
            return width, height
        else:
            at += 2 + length
    return None


def _webp(head: bytes) -> tuple[int, int] | None:
    match head[12:16]:
        case b"VP8 ":
            width, height = _pair("<HH", head, 26)
            return width & _LOW_14, height & _LOW_14
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", head, 21)
            return (bits & _LOW_14) + 1, (bits >> 14 & _LOW_14) + 1
        case b"VP8X":
            low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", head, 24)
            return (high_width << 16 | low_width) + 1, (high_height << 16 | low_height) + 1
        case _:
            return None


def _pair(shape: str, head: bytes, at: int) -> tuple[int, int]:
    first, second = struct.unpack_from(shape, head, at)
    return first, second


MOST_PIXELS = 8000
MANY = 20
MOST_PIXELS_OF_MANY = 2000
"""The longest side of an image, alone or among more than `MANY`."""

_FIRST = 64
_HEAD = 128 * 1024
"""Characters of base64 that are decoded to see a file's type, or an image's size. Multiples of 4."""

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


@dataclass(frozen=True, slots=True)
class Placed:
    """An image or document of a request.

    Attributes:
        param: The field it came in, for errors.
        block: Its block in the canonical body; `source` is put in its place there once a URL was fetched.
    """

    param: str
    block: Block


def url_of(block: Block) -> str | None:
    """Where an image or document is to be fetched, if it is not in the body itself."""
    source = block.get("source")
    url = source.get("url") if isinstance(source, dict) and source.get("type") == "url" else None
    return url if isinstance(url, str) else None


def image_source(data: str, param: str) -> Block:
    """The source of an image that is given as base64.

    Raises:
        UnsupportedFeature: It is none that the API takes.
    """
    first = base64.b64decode(data[:_FIRST])
    media_type = next((type_ for magic, type_ in _MAGIC if first.startswith(magic)), None)
    if first.startswith(b"RIFF") and first[8:12] == b"WEBP":
        media_type = "image/webp"
    if media_type is None:
        raise UnsupportedFeature(
            "Images may be PNG, JPEG, GIF or WebP; this is none of them.", code="unsupported_image", param=param
        )
    return {"type": "base64", "media_type": media_type, "data": data}


def document_source(data: str, param: str) -> Block:
    """The source of a document that is given as base64: a PDF as it is, a text as text.

    Raises:
        InvalidRequest: It is empty, or neither of the two.
    """
    if base64.b64decode(data[:_FIRST]).startswith(b"%PDF-"):
        return {"type": "base64", "media_type": "application/pdf", "data": data}
    text = _text_in(base64.b64decode(data))
    if text is None:
        raise UnsupportedFeature(
            "Files may be PDF or plain text in UTF-8; this is neither.", code="unsupported_file", param=param
        )
    if not text.strip():
        raise InvalidRequest("The file is empty.", code="invalid_file", param=param)
    return {"type": "text", "media_type": "text/plain", "data": text}


def check_count(media: Sequence[Placed], most: int) -> None:
    """Refuse more images than the model takes in a request.

    Raises:
        InvalidRequest: Names the first image that is too many.
    """
    images = list(_images(media))
    if len(images) > most:
        raise InvalidRequest(
            f"The request has {len(images)} images; the model takes {most}.",
            code="too_many_images",
            param=images[most].param,
        )


def check_sizes(media: Sequence[Placed]) -> None:
    """Refuse images with more pixels than the API takes, and those without a size; those by URL are not seen.

    Raises:
        InvalidRequest: Names the first such image.
    """
    images = list(_images(media))
    most = MOST_PIXELS_OF_MANY if len(images) > MANY else MOST_PIXELS
    for placed in images:
        if url_of(placed.block):
            continue
        width, height = size_of(placed.block) or (0, 0)
        if not width or not height:
            said = "The image is cut short or damaged: its size cannot be read."
            raise InvalidRequest(said, code="invalid_image", param=placed.param)
        if max(width, height) > most:
            where = f" where there are more than {MANY} images" if len(images) > MANY else ""
            raise InvalidRequest(
                f"The image is {width} by {height} pixels; Claude takes up to {most} a side{where}.",
                code="image_too_large",
                param=placed.param,
            )


def size_of(block: Block) -> tuple[int, int] | None:
    """Width and height of an image in the body itself, or None where they cannot be read."""
    source = block.get("source")
    data = source.get("data") if isinstance(source, dict) else None
    if not isinstance(data, str):
        return None
    try:
        # In a JPEG more may stand before the size than anyone expects.
        return (
            image_size(base64.b64decode(data[:_HEAD])) or (data[_HEAD:] and image_size(base64.b64decode(data))) or None
        )
    except ValueError:  # the Messages API's own clients write the base64 themselves
        return None


def _images(media: Sequence[Placed]) -> Iterator[Placed]:
    return (placed for placed in media if placed.block.get("type") == "image")


def _text_in(data: bytes) -> str | None:
    """The text that some bytes are, without a mark of their order; None where they are no text."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
