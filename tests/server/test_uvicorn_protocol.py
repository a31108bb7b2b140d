"""What is written to a client's connection, write by write."""

import asyncio
from typing import cast

from dragoman.server.uvicorn_protocol import BufferedTransport


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

    def get_write_buffer_size(self) -> int:
        """Return that all was sent."""
        return 0

    def is_closing(self) -> bool:
        """Return whether it was closed."""
        return self.closed


def buffered() -> tuple[RecordingTransport, BufferedTransport]:
    """Return a recording transport, and the buffered transport in front of it."""
    recorder = RecordingTransport()
    return recorder, BufferedTransport(cast("asyncio.Transport", recorder))


async def test_one_write_for_each_loop_iteration() -> None:
    """Data is joined in order. The next iteration writes again."""
    recorder, transport = buffered()
    transport.write(b"head ")
    transport.write(b"body")
    assert recorder.writes == []
    await asyncio.sleep(0)
    assert recorder.writes == [b"head body"]
    transport.write(b"more")
    await asyncio.sleep(0)
    assert recorder.writes == [b"head body", b"more"]


async def test_close_writes_pending_data() -> None:
    """Pending data is written before the close, and nothing after it."""
    recorder, transport = buffered()
    transport.write(b"last data")
    transport.close()
    assert (recorder.writes, recorder.closed) == ([b"last data"], True)
    await asyncio.sleep(0)
    assert recorder.writes == [b"last data"]


async def test_nothing_is_written_after_a_disconnect() -> None:
    """The client disconnected within the same iteration."""
    recorder, transport = buffered()
    transport.write(b"too late")
    recorder.close()
    await asyncio.sleep(0)
    assert recorder.writes == []


async def test_flush_writes_at_once() -> None:
    """Nothing remains for the end of the iteration."""
    recorder, transport = buffered()
    transport.write(b"head ")
    transport.write(b"body")
    transport.flush()
    assert recorder.writes == [b"head body"]
    await asyncio.sleep(0)
    assert recorder.writes == [b"head body"]
