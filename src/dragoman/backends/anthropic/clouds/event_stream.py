"""Bedrock's streams: binary frames with checksums, each around one event of the Messages API.

Source: https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html, and the API's description of
InvokeModelWithResponseStream. Read by botocore, imported only where a stream comes.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from dragoman.http.sse import InvalidFrame

_ERROR_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "internalServerException": "api_error",
        "modelStreamErrorException": "api_error",
        "modelTimeoutException": "timeout_error",
        "serviceUnavailableException": "overloaded_error",
        "throttlingException": "rate_limit_error",
        "validationException": "invalid_request_error",
    }
)


class _Chunk(msgspec.Struct):
    """What holds an event: base64."""

    event: bytes = msgspec.field(name="bytes", default=b"")


class _Said(msgspec.Struct):
    """What an exception says."""

    message: str = ""


class BinaryFrames:
    """Cuts a stream into the data of its events."""

    def __init__(self) -> None:
        from botocore.eventstream import (  # type: ignore[import-untyped]  # noqa: PLC0415 - only where Bedrock is asked
            EventStreamBuffer,
        )

        self._buffer = EventStreamBuffer()

    def feed(self, data: bytes) -> list[bytes]:
        """The data of each event that is complete now.

        Raises:
            Unreadable: It is not what Bedrock sends.
        """
        from botocore.eventstream import ParserError  # noqa: PLC0415 - as above

        try:
            self._buffer.add_data(data)
            return [made for frame in self._buffer if (made := _data_of(frame.headers, frame.payload))]
        except (ParserError, msgspec.DecodeError) as error:
            raise InvalidFrame from error


def _data_of(headers: Mapping[str, object], payload: bytes) -> bytes:
    """The event of a frame; nothing where it holds none."""
    kind = headers.get(":message-type")
    if kind == "event":
        return msgspec.json.decode(payload, type=_Chunk).event if headers.get(":event-type") == "chunk" else b""
    if kind == "exception":
        name, words = str(headers.get(":exception-type")), msgspec.json.decode(payload, type=_Said).message
    else:
        name, words = str(headers.get(":error-code")), str(headers.get(":error-message"))
    error = {"type": _ERROR_TYPES.get(name, "api_error"), "message": words or name}
    return msgspec.json.encode({"type": "error", "error": error})
