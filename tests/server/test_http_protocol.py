"""What is written to a client's connection, write by write."""

import asyncio
from typing import cast

from starlette.types import Receive, Scope, Send

from dragoman.server.http_protocol import HttpProtocol, ServerState


class RecordingTransport:
    """A transport that records what is written.

    Attributes:
        writes: The data of each write.
        closed: Whether it was closed.
    """

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        """A transport that records what is written."""
        self.writes.append(data)

    def close(self) -> None:
        """Record the close."""
        self.closed = True

    def get_extra_info(self, _name: str) -> None:
        """Return nothing."""

    def get_write_buffer_size(self) -> int:
        """Return that all was sent."""
        return 0

    def is_closing(self) -> bool:
        """Return whether it was closed."""
        return self.closed


async def _app(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Answer nothing."""


def connected() -> tuple[RecordingTransport, HttpProtocol]:
    """Return a recording transport, and the protocol that writes to it."""
    recorder, protocol = RecordingTransport(), HttpProtocol(_app, ServerState())
    protocol.connection_made(cast("asyncio.Transport", recorder))
    return recorder, protocol


async def test_one_write_for_each_loop_iteration() -> None:
    """Data is joined in order. The next iteration writes again."""
    recorder, protocol = connected()
    protocol.write(b"head ")
    protocol.write(b"body")
    assert recorder.writes == []
    await asyncio.sleep(0)
    assert recorder.writes == [b"head body"]
    protocol.write(b"more")
    await asyncio.sleep(0)
    assert recorder.writes == [b"head body", b"more"]


async def test_close_writes_pending_data() -> None:
    """Pending data is written before the close, and nothing after it."""
    recorder, protocol = connected()
    protocol.write(b"last data")
    protocol.close()
    assert (recorder.writes, recorder.closed) == ([b"last data"], True)
    await asyncio.sleep(0)
    assert recorder.writes == [b"last data"]


async def test_nothing_is_written_after_a_disconnect() -> None:
    """The client disconnected within the same iteration."""
    recorder, protocol = connected()
    protocol.write(b"too late")
    recorder.close()
    await asyncio.sleep(0)
    assert recorder.writes == []


async def test_flush_writes_at_once() -> None:
    """Nothing remains for the end of the iteration."""
    recorder, protocol = connected()
    protocol.write(b"head ")
    protocol.write(b"body")
    protocol.flush()
    assert recorder.writes == [b"head body"]
    await asyncio.sleep(0)
    assert recorder.writes == [b"head body"]
