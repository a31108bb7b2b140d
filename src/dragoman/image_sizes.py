"""The width and height of an image, read from its header.

Sources: https://www.w3.org/TR/png-3/#11IHDR, https://www.w3.org/Graphics/GIF/spec-gif89a.txt,
https://www.w3.org/Graphics/JPEG/itu-t81.pdf (B.2.2), https://developers.google.com/speed/webp/docs/riff_container
"""

import struct

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
