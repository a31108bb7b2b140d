"""Images and documents of the OpenAI dialects, as content blocks of the Messages API."""

import base64
import binascii
import re

from dragoman.errors import InvalidRequest, UnsupportedFeature
from dragoman.messages import Block

_DATA_URL = re.compile(r"data:(?P<type>[^;,]*)(?P<parameters>(?:;[^;,]*)*?)(?P<base64>;base64)?,", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=:)")
_HEAD = 64
"""Characters of base64 that are decoded to look at a file's first bytes. A multiple of 4."""

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def image(url: str, param: str) -> Block:
    """An image block of a data URL or an https URL.

    The type is read from the image's own first bytes: clients often label a JPEG as PNG, and the API refuses that.

    Raises:
        InvalidRequest: The URL or the image cannot be read.
        UnsupportedFeature: The URL is neither a data URL nor https.
    """
    if head := _DATA_URL.match(url):
        data = _base64(url[head.end() :], head, param)
        return {"type": "image", "source": {"type": "base64", "media_type": _image_type(data, param), "data": data}}
    scheme = _SCHEME.match(url)
    if scheme and scheme[0].lower() == "https":
        return {"type": "image", "source": {"type": "url", "url": url}}
    if scheme:
        raise UnsupportedFeature(
            f"Images come as data URLs or by https, not by `{scheme[0]}`.", code="unsupported_image_url", param=param
        )
    raise InvalidRequest("The image's URL is no URL.", code="invalid_image_url", param=param)


def document(data: str, name: str | None, param: str) -> Block:
    """A document block of a PDF or a plain text, given as a data URL or as bare base64.

    Raises:
        InvalidRequest: The data is no base64, or no PDF and no text.
    """
    head = _DATA_URL.match(data)
    encoded = _base64(data[head.end() :] if head else data, head, param)
    block: Block = {"type": "document", "source": _document_source(encoded, param)}
    if name:
        block["title"] = name
    return block


def _document_source(encoded: str, param: str) -> Block:
    if _first_bytes(encoded).startswith(b"%PDF-"):
        return {"type": "base64", "media_type": "application/pdf", "data": encoded}
    try:
        text = base64.b64decode(encoded).decode()
    except UnicodeDecodeError:
        raise UnsupportedFeature(
            "Files may be PDF or plain text in UTF-8; this is neither.", code="unsupported_file", param=param
        ) from None
    if not text.strip():
        raise InvalidRequest("The file is empty.", code="invalid_file", param=param)
    return {"type": "text", "media_type": "text/plain", "data": text}


def _base64(data: str, head: re.Match[str] | None, param: str) -> str:
    if head and not head["base64"]:
        raise InvalidRequest("The data URL must be base64 (`data:…;base64,…`).", code="invalid_data_url", param=param)
    data = "".join(data.split()) if any(c in data for c in "\n\r ") else data
    data += "=" * (-len(data) % 4)
    try:
        binascii.a2b_base64(data, strict_mode=True)
    except ValueError:
        raise InvalidRequest("The data is not valid base64.", code="invalid_base64", param=param) from None
    return data


def _image_type(data: str, param: str) -> str:
    first = _first_bytes(data)
    for magic, media_type in _MAGIC:
        if first.startswith(magic):
            return media_type
    if first.startswith(b"RIFF") and first[8:12] == b"WEBP":
        return "image/webp"
    raise UnsupportedFeature(
        "Images may be PNG, JPEG, GIF or WebP; this is none of them.", code="unsupported_image", param=param
    )


def _first_bytes(data: str) -> bytes:
    return base64.b64decode(data[:_HEAD])
