"""A Messages API on loopback that gives one fixed response, for turns of the runtime that must not reach Claude."""

import asyncio
from types import TracebackType
from typing import Self, cast

import msgspec

from dragoman.backends.claude_code.loopback_server import LoopbackServer
from dragoman.core.messages import JSONObject

_EVENTS: tuple[JSONObject, ...] = (
    {
        "type": "message_start",
        "message": {
            "id": "msg_placeholder",
            "type": "message",
            "role": "assistant",
            "model": "placeholder",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "-"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 1},
    },
    {"type": "message_stop"},
)
_RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + b"".join(
    f"event: {event['type']}\ndata: ".encode() + msgspec.json.encode(event) + b"\n\n" for event in _EVENTS
)


class LoopbackApi:
    """An API that listens while its context is open.

    Attributes:
        bodies: The bodies of the requests so far, oldest first.
    """

    def __init__(self) -> None:
        self.bodies: list[JSONObject] = []
        self._server = LoopbackServer(self._respond)

    @property
    def url(self) -> str:
        """The address, while the context is open."""
        return self._server.url

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        await self._server.aclose()

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
        body = await reader.readexactly(length)
        if body:
            self.bodies.append(cast("JSONObject", msgspec.json.decode(body, type=dict)))
        writer.write(_RESPONSE)
        await writer.drain()
