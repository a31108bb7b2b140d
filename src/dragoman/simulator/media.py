"""Images and documents: what they are by their bytes, and how an answer names them."""

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
"""The media types that the API takes, and how their bytes begin."""

PDF_MAGIC = b"%PDF"
_SHORT = 80


def decoded(data: str) -> bytes | None:
    """The bytes of strict base64, or None where it is none."""
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None


def image_type(data: bytes) -> str | None:
    """The media type that the bytes tell."""
    return next((type_ for type_, magics in IMAGE_MAGIC.items() if data.startswith(magics)), None)


def describe(block: Block) -> str:
    """A few words about an image or document, such as `[image/png 8x8]`; empty for other blocks."""
    source = object_of(block.get("source"))
    match block.get("type"), source.get("type"):
        case "image", "base64":
            return f"[{text_of(source.get('media_type'))}{_size(text_of(source.get('data')))}]"
        case "document", "base64":
            return f"[{text_of(source.get('media_type'))}]"
        case "document", "text":
            return f"[text/plain: {text_of(source.get('data'))[:_SHORT]}]"
        case ("image" | "document") as kind, "url":
            return f"[{kind} {text_of(source.get('url'))}]"
        case ("image" | "document") as kind, _:
            return f"[{kind}]"
        case _:
            return ""


def _size(data: str) -> str:
    """The size of a PNG, which stands in its first 24 bytes (32 characters of base64)."""
    head = decoded(data[:32]) or b""
    if len(head) < 24 or image_type(head) != "image/png":  # noqa: PLR2004 - the header's length
        return ""
    width, height = struct.unpack(">II", head[16:24])
    return f" {width}x{height}"
