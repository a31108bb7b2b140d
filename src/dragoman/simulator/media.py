"""Images and documents: their types by their first bytes, and their descriptions in a response."""

import base64
import binascii
import struct
from collections.abc import Mapping
from types import MappingProxyType

from dragoman.core.messages import Block
from dragoman.simulator.json_values import object_of, text_of

IMAGE_MAGIC: Mapping[str, tuple[bytes, ...]] = MappingProxyType(
    {
        "image/jpeg": (b"\xff\xd8\xff",),
        "image/png": (b"\x89PNG\r\n\x1a\n",),
        "image/gif": (b"GIF87a", b"GIF89a"),
        "image/webp": (b"RIFF",),
    }
)
"""The media types that the API accepts, and their first bytes."""

PDF_MAGIC = b"%PDF"
_MAX_DOCUMENT_EXCERPT = 80
_PNG_HEADER_BYTES = 24
_PNG_HEADER_BASE64 = 32


def decode_base64(data: str) -> bytes | None:
    """Return the bytes of strict base64, or None if it is invalid."""
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None


def image_type(data: bytes) -> str | None:
    """Return the media type that the first bytes show, or None if it is not accepted."""
    return next((type_ for type_, magics in IMAGE_MAGIC.items() if data.startswith(magics)), None)


def describe(block: Block) -> str:
    """Return a short description of an image or document, such as `[image/png 8x8]`; empty for other blocks."""
    source = object_of(block.get("source"))
    match block.get("type"), source.get("type"):
        case "image", "base64":
            return f"[{text_of(source.get('media_type'))}{_size(text_of(source.get('data')))}]"
        case "document", "base64":
            return f"[{text_of(source.get('media_type'))}]"
        case "document", "text":
            return f"[text/plain: {text_of(source.get('data'))[:_MAX_DOCUMENT_EXCERPT]}]"
        case ("image" | "document") as kind, "url":
            return f"[{kind} {text_of(source.get('url'))}]"
        case ("image" | "document") as kind, _:
            return f"[{kind}]"
        case _:
            return ""


def _size(data: str) -> str:
    """Return the size in the header of a PNG."""
    header = decode_base64(data[:_PNG_HEADER_BASE64]) or b""
    if len(header) < _PNG_HEADER_BYTES or image_type(header) != "image/png":
        return ""
    width, height = struct.unpack(">II", header[16:24])
    return f" {width}x{height}"
