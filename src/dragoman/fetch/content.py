"""What was fetched, as the source of a block."""

import base64

from dragoman.errors import InvalidRequest
from dragoman.media import Placed, document_source, image_source
from dragoman.messages import Block

_ENDS = {"image/png": b"IEND", "image/jpeg": b"\xff\xd9", "image/gif": b"\x00;"}
"""What stands at the end of whole images. Cameras and editors put more behind it, so it is looked for anywhere."""

_RIFF_HEADER = 8


def source_of(data: bytes, placed: Placed) -> Block:
    """The source of an image or document.

    Raises:
        InvalidRequest: It is not of a kind that the API takes, or not whole.
    """
    encoded = base64.b64encode(data).decode()
    if placed.block["type"] != "image":
        return document_source(encoded, placed.param)
    source = image_source(encoded, placed.param)
    if not _whole(data, str(source["media_type"])):
        raise InvalidRequest("The image is cut short.", code="invalid_image", param=placed.param)
    return source


def _whole(data: bytes, media_type: str) -> bool:
    if media_type == "image/webp":
        return len(data) >= int.from_bytes(data[4:_RIFF_HEADER], "little") + _RIFF_HEADER
    return _ENDS[media_type] in data
