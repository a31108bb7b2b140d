"""Streamed messages: the API's own events, each under its own name."""

from typing import cast

import msgspec

from dragoman.core.errors import GatewayError
from dragoman.core.events import MessageEvent
from dragoman.dialects.base import StreamEncoder
from dragoman.dialects.messages.errors import anthropic_error
from dragoman.dialects.shared import sse

_encode = msgspec.json.Encoder().encode


class MessagesStream(StreamEncoder):
    """The `StreamEncoder` of one message. Events pass through unchanged."""

    heartbeat = sse.event(b'{"type":"ping"}', "ping")
    """As the API itself fills a silence."""

    def feed(self, event: MessageEvent, choice: int = 0) -> bytes:  # noqa: ARG002 - this dialect has one choice
        """Encode one event as it came."""
        return b"" if self._ended else sse.event(_encode(event.raw), cast("str", event.raw["type"]))

    def on_error(self, error: GatewayError) -> bytes:
        """Encode the error. Blocks stay open, as where the API's own stream fails: clients drop the message."""
        return sse.event(_encode(anthropic_error(error)), "error")
