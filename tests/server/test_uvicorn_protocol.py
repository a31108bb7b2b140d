"""What goes out on a client's connection, write by write."""

import asyncio
from typing import cast

from dragoman.server.uvicorn_protocol import BufferedTransport


class Written:
    """A transport that keeps what is written.

    Attributes:
        writes: What came, write by write.
        closed: Whether it was closed.
    """

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.writes.append(data)

    def close(self) -> None:
        """Take nothing more."""
        self.closed = True

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed


def gathering() -> tuple[Written, BufferedTransport]:
    """Both sides of it."""
    written = Written()
    return written, BufferedTransport(cast("asyncio.Transport", written))


async def test_a_turn_of_the_loop_is_one_write() -> None:
    """In the order in which it came; the next turn's goes by itself."""
    written, transport = gathering()
    transport.write(b"head ")
    transport.write(b"body")
    assert written.writes == []
    await asyncio.sleep(0)
    assert written.writes == [b"head body"]
    transport.write(b"more")
    await asyncio.sleep(0)
    assert written.writes == [b"head body", b"more"]


async def test_the_last_words_go_out_before_the_end() -> None:
    """Whoever closes has said all there is; nothing is written after it."""
    written, transport = gathering()
    transport.write(b"last words")
    transport.close()
    assert (written.writes, written.closed) == ([b"last words"], True)
    await asyncio.sleep(0)
    assert written.writes == [b"last words"]


async def test_nothing_is_written_to_a_client_that_has_gone() -> None:
    """It left within the same turn."""
    written, transport = gathering()
    transport.write(b"too late")
    written.close()
    await asyncio.sleep(0)
    assert written.writes == []


async def test_what_is_whole_need_not_wait_for_the_turns_end() -> None:
    """It goes out at once where that is asked for, and nothing is left for later."""
    written, transport = gathering()
    transport.write(b"head ")
    transport.write(b"body")
    transport.flush()
    assert written.writes == [b"head body"]
    await asyncio.sleep(0)
    assert written.writes == [b"head body"]
