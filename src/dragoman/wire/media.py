"""Images and documents of the OpenAI dialects, as content blocks of the Messages API.

Nothing is fetched here: what comes by URL leaves as a `url` source.
"""

import binascii
import re

from dragoman.errors import InvalidRequest, UnsupportedFeature
from dragoman.media import document_source, image_source
from dragoman.messages import Block

_DATA_URL = re.compile(r"data:(?P<type>[^;,]*)(?P<parameters>(?:;[^;,]*)*?)(?P<base64>;base64)?,", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=:)")
_FETCHED = frozenset({"http", "https"})


def image(url: str, param: str) -> Block:
    """An image block of a data URL, or of an http or https URL.

    Raises:
        InvalidRequest: The URL or the image cannot be read.
        UnsupportedFeature: The URL is of another kind.
    """
    if head := _DATA_URL.match(url):
        return {"type": "image", "source": image_source(_base64(url[head.end() :], head, param), param)}
    if source := _url_source(url, param, "unsupported_image_url"):
        return {"type": "image", "source": source}
    raise InvalidRequest("The image's URL is no URL.", code="invalid_image_url", param=param)


def document(data: str, name: str | None, param: str) -> Block:
    """A document block of a PDF or a plain text, given as a data URL, as bare base64, or by an http or https URL.

    Raises:
        InvalidRequest: The data is no base64, or no PDF and no text.
        UnsupportedFeature: It is a URL of another kind.
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
    """The source of what comes by URL, if the text is one."""
    scheme = _SCHEME.match(text)
    if scheme is None:
        return None
    if scheme[0].lower() not in _FETCHED:
        raise UnsupportedFeature(
            f"Images and files come as data URLs or by https, not by `{scheme[0][:20]}`.", code=code, param=param
        )
    return {"type": "url", "url": text}


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
