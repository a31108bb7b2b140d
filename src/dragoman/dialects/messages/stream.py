"""A streamed answer as the API streams it: its own events, each under its own name."""

from typing import cast

import msgspec

from dragoman.core.errors import GatewayError
from dragoman.core.events import MessageEvent
from dragoman.dialects.messages.response import anthropic_error
from dragoman.dialects.shared import sse

_encode = msgspec.json.Encoder().encode


class MessagesStream:
    """The `StreamEncoder` of one message.

    Attributes:
        failure: What the caller ended the stream with.
    """

    heartbeat = sse.event(b'{"type":"ping"}', "ping")
    separate = False
    """As the API itself fills a silence."""

    def __init__(self) -> None:
        self._ended = False
        self.failure: GatewayError | None = None

    def feed(self, event: MessageEvent, choice: int = 0) -> bytes:  # noqa: ARG002 - this dialect has one answer
        """Encode one event: as it came."""
        return b"" if self._ended else sse.event(_encode(event.raw), cast("str", event.raw["type"]))

    def finish(self) -> bytes:
        """Nothing: `message_stop` was the end."""
        self._ended = True
        return b""

    def fail(self, error: GatewayError) -> bytes:
        """Say the error. Blocks stay open, as they do where the API's own stream fails: clients drop the message."""
        if self._ended:
            return b""
        self._ended = True
        self.failure = error
        return sse.event(_encode(anthropic_error(error)), "error")
