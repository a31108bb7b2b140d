"""The load generator, in a process of its own: a bare protocol on uvloop, one job a line in, one outcome a line out.

Every connection asks again as soon as its answer is whole, until the time is over. Every answer is looked at: its
status and its words, and that all of them came; one that is not right ends the benchmark.
"""

import asyncio
import sys
from time import perf_counter

import msgspec
import uvloop
from httptools import HttpResponseParser

_OK = 200
_GRACE = 60.0
_SHOWN = 400


class Job(msgspec.Struct):
    """What is to be asked.

    Attributes:
        port: Where, on 127.0.0.1.
        request: The whole HTTP request.
        mark: What stands in every right answer; in a streamed one, in the first event that has words.
        piece: The words of each piece of a streamed answer.
        connections: How many ask at once.
        seconds: How long; an answer that has begun by then is read to its end.
        pieces: How often they must come; 0 in a plain answer.
    """

    port: int
    request: bytes
    mark: bytes
    connections: int
    seconds: float
    piece: bytes = b" "
    pieces: int = 0


class Outcome(msgspec.Struct):
    """What came of it.

    Attributes:
        requests: Answers.
        seconds: The time they took in all.
        whole: Seconds from asking to the end of an answer: median and 99th percentile.
        first: The same to the first words.
        failure: What went wrong, if anything did.
    """

    requests: int
    seconds: float
    whole: tuple[float, float]
    first: tuple[float, float]
    failure: str = ""


class _Run:
    """One job under way: what the connections share."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.until = 0.0
        self.whole: list[float] = []
        self.first: list[float] = []
        self.failure = ""
        self.left = job.connections
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, why: str) -> None:
        """End everything; the first failure is told."""
        self.failure = self.failure or why
        if not self.over.done():
            self.over.set_result(None)

    def done(self) -> None:
        """One connection has nothing more to ask."""
        self.left -= 1
        if not self.left and not self.over.done():
            self.over.set_result(None)


class _Client(asyncio.Protocol):
    """One connection. The parser calls the other `on_…` methods."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._request, self._mark = run.job.request, run.job.mark
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self._said = b""
        self._marked = False
        self._rest = b""
        self._pieces = 0
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # a socket's transport reads and writes

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._run.over.done():
            self._run.fail(f"A connection was lost ({exc!r}) after {self._said[:_SHOWN]!r}.")

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def ask(self) -> None:
        """Send the request."""
        self._said, self._marked, self._rest, self._pieces = b"", False, b"", 0
        self._began = perf_counter()
        if self._transport is not None:
            self._transport.write(self._request)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def on_body(self, body: bytes) -> None:
        """A part of the answer."""
        if not self._marked:
            self._said += body
            if self._mark in self._said:
                self._marked = True
                self._run.first.append(perf_counter() - self._began)
        if self._run.job.pieces:
            # One may lie across two parts. A gateway that falls behind may put several into one event.
            piece = self._run.job.piece
            self._pieces += (self._rest + body).count(piece)
            self._rest = body[-len(piece) + 1 :]

    def on_message_complete(self) -> None:
        """The answer is whole."""
        run = self._run
        status = self._parser.get_status_code()
        if status != _OK or not self._marked or self._pieces < run.job.pieces:
            run.fail(f"Answered {status}, {self._pieces} pieces: {self._said[:_SHOWN]!r}")
            return
        now = perf_counter()
        run.whole.append(now - self._began)
        if now < run.until:
            self.ask()
        else:
            run.done()


async def work(job: Job) -> Outcome:
    """Do one job."""
    run = _Run(job)
    loop = asyncio.get_running_loop()
    clients = [
        (await loop.create_connection(lambda: _Client(run), "127.0.0.1", job.port))[1] for _ in range(job.connections)
    ]
    began = perf_counter()
    run.until = began + job.seconds
    for client in clients:
        client.ask()
    try:
        await asyncio.wait_for(asyncio.shield(run.over), job.seconds + _GRACE)
    except TimeoutError:
        run.fail(f"{run.left} answers did not end within {_GRACE:g} seconds.")
    seconds = perf_counter() - began
    for client in clients:
        client.close()
    return Outcome(len(run.whole), seconds, _middle_and_tail(run.whole), _middle_and_tail(run.first), run.failure)


def _middle_and_tail(times: list[float]) -> tuple[float, float]:
    ordered = sorted(times) or [0.0]
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]


def main() -> None:
    """Take jobs until there are none."""
    for line in sys.stdin.buffer:
        outcome = uvloop.run(work(msgspec.json.decode(line, type=Job)))
        sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
