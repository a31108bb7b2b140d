"""Images and documents of the OpenAI dialects, as content blocks of the Messages API.

Nothing is fetched here: a URL stays a `url` source.
"""

import binascii
import re
from urllib.parse import unquote

from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.media import document_source, image_source
from dragoman.core.messages import Block

_DATA_URL = re.compile(r"data:(?P<type>[^;,]*)(?P<parameters>(?:;[^;,]*)*?)(?P<base64>;base64)?,", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=:)")
_STANDARD_ALPHABET = str.maketrans("-_", "+/")
_CHECKED_PART = 2**20
"""Characters of base64 that are checked at once. A multiple of 4."""
_FETCHED_SCHEMES = frozenset({"http", "https"})


def image_block(url: str, param: str) -> Block:
    """Return the image block of a data URL, of bare base64, or of an http or https URL.

    Raises:
        InvalidRequest: The URL or the image is invalid.
        UnsupportedFeature: The URL has another scheme.
    """
    if head := _DATA_URL.match(url):
        return {"type": "image", "source": image_source(_base64(url[head.end() :], head, param), param)}
    if source := _url_source(url, param, "unsupported_image_url"):
        return {"type": "image", "source": source}
    try:
        return {"type": "image", "source": image_source(_base64(url, None, param), param)}  # some clients send it bare
    except InvalidRequest:
        raise InvalidRequest(
            f"`{param}` is not a URL. Send a data URL or an https URL.", code="invalid_image_url", param=param
        ) from None


def document_block(data: str, name: str | None, param: str) -> Block:
    """Return the document block of a PDF or a plain text: a data URL, bare base64, or an http or https URL.

    Raises:
        InvalidRequest: The data is not base64, or neither PDF nor text.
        UnsupportedFeature: The URL has another scheme.
    """
    head = _DATA_URL.match(data)
    source = None if head else _url_source(data, param, "unsupported_file_url")
    if source is None:
        source = document_source(_base64(data[head.end() :] if head else data, head, param), param)
    block: Block = {"type": "document", "source": source}
    if name:
        block["title"] = name
    return block


def _url_source(text: str, param: str, code: str) -> Block | None:
    """Return a `url` source; None if the text is not a URL."""
    scheme = _SCHEME.match(text)
    if scheme is None:
        return None
    if scheme[0].lower() not in _FETCHED_SCHEMES:
        raise UnsupportedFeature(
            f"`{param}`: URLs of scheme `{scheme[0][:20]}` are not supported. Send a data URL or an https URL.",
            code=code,
            param=param,
        )
    return {"type": "url", "url": text}


def _base64(data: str, head: re.Match[str] | None, param: str) -> str:
    if head and not head["base64"]:
        raise InvalidRequest(
            f"The data URL in `{param}` must be base64 (`data:…;base64,…`).", code="invalid_data_url", param=param
        )
    data = _standard_base64(data)
    try:
        _check_base64(data)
    except ValueError:
        raise InvalidRequest(
            f"The data in `{param}` is not valid base64.", code="invalid_base64", param=param
        ) from None
    return data


def _check_base64(data: str) -> None:
    """Check base64 in parts: a large image must not stop the other threads, nor be in memory twice.

    Raises:
        ValueError: It is invalid.
    """
    for start in range(0, len(data), _CHECKED_PART):
        part = data[start : start + _CHECKED_PART]
        binascii.a2b_base64(part, strict_mode=True)
        if part.endswith("=") and start + _CHECKED_PART < len(data):
            raise ValueError("data after the padding")


def _standard_base64(data: str) -> str:
    """Return base64 in the standard form: clients send it percent-encoded, url-safe, in lines, or without padding."""
    if "%" in data:
        data = unquote(data)
    if any(character in data for character in "\n\r\t "):
        data = "".join(data.split())
    data = data.translate(_STANDARD_ALPHABET) if "-" in data or "_" in data else data
    return data + "=" * (-len(data) % 4)
