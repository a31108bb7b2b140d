"""Helpers of the simulator's tests."""

import base64
import struct
import zlib
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from dragoman.core.messages import JSONObject

HEADERS = {"x-api-key": "sk-test", "anthropic-version": "2023-06-01"}

Ask: TypeAlias = Callable[..., Awaitable[JSONObject]]
"""Posts a body to `/v1/messages` and returns the JSON response. Takes a text, `headers`, `path` and body fields."""


def png(width: int, height: int) -> str:
    """Return signature, header and end of a PNG in base64. The simulator reads only these."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    data += bytes(4) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    return base64.b64encode(data).decode()
