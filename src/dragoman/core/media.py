"""Images and documents of a request: their type and size, read from their bytes, and the API's limits.

The client's file names and media types are ignored: clients often call a JPEG a PNG, and the API rejects that.

Sources of the image headers: https://www.w3.org/TR/png-3/#11IHDR, https://www.w3.org/Graphics/GIF/spec-gif89a.txt,
https://www.w3.org/Graphics/JPEG/itu-t81.pdf (B.2.2), https://developers.google.com/speed/webp/docs/riff_container
"""

import base64
import struct
from collections.abc import Iterator, Sequence

from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.long_steps import decode_base64
from dragoman.core.messages import Block
from dragoman.core.value_object import value_object

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a JPEG frame's header. The three that are left out are tables and a reserved marker."""

_MAX_JPEG_MARKERS = 10_000
"""Markers and fill bytes before the frame's header. A file may have millions of them; cameras write some ten."""

_LOW_14 = 0x3FFF

_MAX_SIDE = 8000
"""Maximum width and height of an image, in pixels."""
_MANY_IMAGES = 20
_MAX_SIDE_OF_MANY = 2000
"""The same if a request contains more than `_MANY_IMAGES`."""

_TYPE_CHARS = 64
_SIZE_CHARS = 128 * 1024
"""Characters of base64 that are decoded to find a file's type, or an image's size. Multiples of 4."""

_TAIL_CHARS = 4096
"""Characters of base64 in which the end of most images is. A multiple of 4."""

_END_MARKERS = {b"\x89PNG": b"IEND", b"\xff\xd8": b"\xff\xd9", b"GIF8": b"\x00;"}
"""What complete images end with, by their first bytes. Cameras and editors add bytes after that."""
_RIFF_HEADER = 8
"""Bytes of a WebP file before the part whose length its header contains."""

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


@value_object
class Placed:
    """An image or document of a request.

    Attributes:
        param: The field it came in, for errors.
        block: Its block in the canonical body. Fetching a URL replaces the block's `source`.
    """

    param: str
    block: Block


def url_of(block: Block) -> str | None:
    """Return the URL of an image or document; None if the body contains its data."""
    source = block.get("source")
    url = source.get("url") if isinstance(source, dict) and source.get("type") == "url" else None
    return url if isinstance(url, str) else None


def image_source(data: str, param: str) -> Block:
    """Return the source of an image in base64.

    Raises:
        UnsupportedFeature: The API does not accept its format.
    """
    first = base64.b64decode(data[:_TYPE_CHARS])
    media_type = next((type_ for magic, type_ in _MAGIC if first.startswith(magic)), None)
    if first.startswith(b"RIFF") and first[8:12] == b"WEBP":
        media_type = "image/webp"
    if media_type is None:
        raise UnsupportedFeature("Images must be PNG, JPEG, GIF or WebP.", code="unsupported_image", param=param)
    return {"type": "base64", "media_type": media_type, "data": data}


def document_source(data: str, param: str) -> Block:
    """Return the source of a document in base64: a PDF as it is, a text as text.

    Raises:
        InvalidRequest: It is empty, or neither a PDF nor text.
    """
    if base64.b64decode(data[:_TYPE_CHARS]).startswith(b"%PDF-"):
        return {"type": "base64", "media_type": "application/pdf", "data": data}
    text = _text_in(decode_base64(data))
    if text is None:
        raise UnsupportedFeature("Files must be PDF, or plain text in UTF-8.", code="unsupported_file", param=param)
    if not text.strip():
        raise InvalidRequest("The file is empty.", code="invalid_file", param=param)
    return {"type": "text", "media_type": "text/plain", "data": text}


def check_count(media: Sequence[Placed], max_images: int) -> None:
    """Refuse a request with too many images.

    Raises:
        InvalidRequest: There are too many. `param` is the first one that exceeds the limit.
    """
    images = list(_images(media))
    if len(images) > max_images:
        raise InvalidRequest(
            f"The request has {len(images)} images; the model accepts {max_images}.",
            code="too_many_images",
            param=images[max_images].param,
        )


def check_sizes(media: Sequence[Placed]) -> None:
    """Refuse images that are too large for the API, or whose size cannot be read. Images by URL are not checked.

    Raises:
        InvalidRequest: `param` is the first such image.
    """
    images = list(_images(media))
    max_side = _MAX_SIDE_OF_MANY if len(images) > _MANY_IMAGES else _MAX_SIDE
    for placed in images:
        if url_of(placed.block):
            continue
        width, height = require_image(placed.block, placed.param)
        if max(width, height) > max_side:
            condition = f" in a request with more than {_MANY_IMAGES} images" if len(images) > _MANY_IMAGES else ""
            raise InvalidRequest(
                f"The image is {width} by {height} pixels; Claude accepts {max_side} a side{condition}.",
                code="image_too_large",
                param=placed.param,
            )


def require_image(block: Block, param: str) -> tuple[int, int]:
    """Return width and height of an image in the body.

    Raises:
        InvalidRequest: The image is damaged, or cut behind its header. The API would refuse it.
    """
    width, height = size_of(block) or (0, 0)
    if not width or not height:
        text = "The image is truncated or damaged: its size cannot be read."
        raise InvalidRequest(text, code="invalid_image", param=param)
    if not _is_complete(block):
        raise InvalidRequest("The image is truncated: its end is missing.", code="invalid_image", param=param)
    return width, height


def is_complete_image(data: bytes) -> bool:
    """Return whether the bytes of an image contain its end."""
    if data.startswith(b"RIFF"):
        return len(data) >= int.from_bytes(data[4:_RIFF_HEADER], "little") + _RIFF_HEADER
    return any(data.startswith(magic) and marker in data for magic, marker in _END_MARKERS.items())


def _is_complete(block: Block) -> bool:
    """Return whether an image in the body, whose size can be read, contains its end."""
    source = block.get("source")
    data = str(source.get("data")) if isinstance(source, dict) else ""
    try:
        head = base64.b64decode(data[:_TYPE_CHARS])
        if not head.startswith(b"RIFF") and is_complete_image(head + base64.b64decode(data[-_TAIL_CHARS:])):
            return True  # most images: not all of it has to be decoded
        return is_complete_image(decode_base64(data))
    except ValueError:  # clients of the Messages API encode the data themselves
        return False


def size_of(block: Block) -> tuple[int, int] | None:
    """Return width and height of an image in the body; None if they cannot be read."""
    source = block.get("source")
    data = source.get("data") if isinstance(source, dict) else None
    if not isinstance(data, str):
        return None
    try:
        # A JPEG may contain much data before its size.
        return (
            image_size(base64.b64decode(data[:_SIZE_CHARS]))
            or (data[_SIZE_CHARS:] and image_size(decode_base64(data)))
            or None
        )
    except ValueError:  # clients of the Messages API encode the data themselves
        return None


def _images(media: Sequence[Placed]) -> Iterator[Placed]:
    return (placed for placed in media if placed.block.get("type") == "image")


def _text_in(data: bytes) -> str | None:
    """Return bytes as text, without a byte order mark; None if they are not text."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def image_size(head: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels; None if the header cannot be read.

    Args:
        head: The image, or its beginning. A JPEG may contain much data before its size.
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
    position = 2
    for _ in range(_MAX_JPEG_MARKERS):
        position = head.find(b"\xff", position)  # decoders also skip data between markers
        if position < 0:
            break
        marker, length = struct.unpack_from(">BH", head, position + 1)
        if marker == 0xFF:  # noqa: PLR2004 - a fill byte before a marker
            position += 1
        elif marker in _JPEG_FRAMES:
            height, width = _pair(">HH", head, position + 5)
            return width, height
        else:
            position += 2 + length
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


def _pair(shape: str, head: bytes, position: int) -> tuple[int, int]:
    first, second = struct.unpack_from(shape, head, position)
    return first, second
