"""Bedrock's streams: binary frames with checksums. Each contains one event of the Messages API.

Source: https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html, and the API's description of
InvokeModelWithResponseStream. botocore decodes the frames. It is imported only when a stream arrives.
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
"""The Messages API's error types, by Bedrock's exceptions."""


class _Chunk(msgspec.Struct):
    """The payload of a frame with an event, as base64."""

    event: bytes = msgspec.field(name="bytes", default=b"")


class _Exception(msgspec.Struct):
    """The payload of a frame with an exception."""

    message: str = ""


class EventStreamDecoder:
    """Splits a stream into the JSON of its events."""

    def __init__(self) -> None:
        from botocore.eventstream import (  # type: ignore[import-untyped]  # noqa: PLC0415 - only if Bedrock is used
            EventStreamBuffer,
        )

        self._buffer = EventStreamBuffer()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the JSON of each event that is complete now.

        Raises:
            InvalidFrame: It is not what Bedrock sends.
        """
        from botocore.eventstream import ParserError  # noqa: PLC0415 - as above

        try:
            self._buffer.add_data(data)
            return [event for frame in self._buffer if (event := _event_in(frame.headers, frame.payload))]
        except (ParserError, msgspec.DecodeError) as error:
            raise InvalidFrame from error


def _event_in(headers: Mapping[str, object], payload: bytes) -> bytes:
    """Return the event in a frame, or an `error` event for an exception; empty if there is neither."""
    kind = headers.get(":message-type")
    if kind == "event":
        return msgspec.json.decode(payload, type=_Chunk).event if headers.get(":event-type") == "chunk" else b""
    if kind == "exception":
        name, message = str(headers.get(":exception-type")), msgspec.json.decode(payload, type=_Exception).message
    else:
        name, message = str(headers.get(":error-code")), str(headers.get(":error-message"))
    error = {"type": _ERROR_TYPES.get(name, "api_error"), "message": message or name}
    return msgspec.json.encode({"type": "error", "error": error})
