"""The load generator: a process that reads one job per line and prints one outcome per line.

It is an asyncio protocol on uvloop. Each connection sends the next request when a response is complete, until the time
is over. The status and the text of every response are checked. A wrong response ends the benchmark.
"""

import asyncio
import sys
from time import perf_counter

import msgspec
import uvloop
from httptools import HttpResponseParser

_OK = 200
_GRACE_SECONDS = 60.0
_MAX_SHOWN_BYTES = 400


class Job(msgspec.Struct):
    """A job.

    Attributes:
        port: The port on 127.0.0.1.
        request: The HTTP request.
        mark: Bytes in every correct response; in a stream, in the first event with text.
        connections: How many connections send requests.
        seconds: The duration. A response that has begun is read to its end.
        piece: The text of each chunk of a streamed response.
        pieces: The number of chunks; 0 without a stream.
        serial: Digits in the request that are replaced by the number of the request, so that no two are equal.
    """

    port: int
    request: bytes
    mark: bytes
    connections: int
    seconds: float
    piece: bytes = b" "
    pieces: int = 0
    serial: bytes = b""


class Outcome(msgspec.Struct):
    """The outcome of a job.

    Attributes:
        requests: The number of responses.
        seconds: The duration.
        complete: Seconds from the request to the end of the response: median and 99th percentile.
        first: Seconds from the request to the first text: median and 99th percentile.
        failure: The first failure; empty if there was none.
    """

    requests: int
    seconds: float
    complete: tuple[float, float]
    first: tuple[float, float]
    failure: str = ""


class _Run:
    """The shared state of a job's connections."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.deadline = 0.0
        self.sent = 0
        self.complete: list[float] = []
        self.first: list[float] = []
        self.failure = ""
        self.active_connections = job.connections
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def next_request(self) -> bytes:
        """Return the next request to send."""
        self.sent += 1
        serial = self.job.serial
        return self.job.request.replace(serial, b"%0*d" % (len(serial), self.sent)) if serial else self.job.request

    def fail(self, reason: str) -> None:
        """End the job. Only the first failure is reported."""
        self.failure = self.failure or reason
        if not self.finished.done():
            self.finished.set_result(None)

    def done(self) -> None:
        """Finish one connection."""
        self.active_connections -= 1
        if not self.active_connections and not self.finished.done():
            self.finished.set_result(None)


class _Client(asyncio.Protocol):
    """One connection. The parser calls the other `on_…` methods."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._mark = run.job.mark
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self._received = b""
        self._is_marked = False
        self._tail = b""
        self._pieces = 0
        self._started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # a socket's transport reads and writes

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._run.finished.done():
            self._run.fail(f"A connection was lost ({exc!r}) after {self._received[:_MAX_SHOWN_BYTES]!r}.")

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def send(self) -> None:
        """Send the request."""
        self._received, self._is_marked, self._tail, self._pieces = b"", False, b"", 0
        request = self._run.next_request()
        self._started = perf_counter()
        if self._transport is not None:
            self._transport.write(request)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()

    def on_body(self, body: bytes) -> None:
        """Read a part of the response."""
        if not self._is_marked:
            self._received += body
            if self._mark in self._received:
                self._is_marked = True
                self._run.first.append(perf_counter() - self._started)
        if self._run.job.pieces:
            # A chunk can be split across two parts. A slow gateway can put several chunks into one event.
            piece = self._run.job.piece
            self._pieces += (self._tail + body).count(piece)
            self._tail = body[-len(piece) + 1 :]

    def on_message_complete(self) -> None:
        """Check the response, and send the next request."""
        run = self._run
        status = self._parser.get_status_code()
        if status != _OK or not self._is_marked or self._pieces < run.job.pieces:
            run.fail(f"Status {status}, {self._pieces} chunks: {self._received[:_MAX_SHOWN_BYTES]!r}")
            return
        now = perf_counter()
        run.complete.append(now - self._started)
        if now < run.deadline:
            self.send()
        else:
            run.done()


async def work(job: Job) -> Outcome:
    """Run one job."""
    run = _Run(job)
    loop = asyncio.get_running_loop()
    clients = [
        (await loop.create_connection(lambda: _Client(run), "127.0.0.1", job.port))[1] for _ in range(job.connections)
    ]
    began = perf_counter()
    run.deadline = began + job.seconds
    for client in clients:
        client.send()
    try:
        await asyncio.wait_for(asyncio.shield(run.finished), job.seconds + _GRACE_SECONDS)
    except TimeoutError:
        run.fail(f"{run.active_connections} responses did not end within {_GRACE_SECONDS:g} seconds.")
    seconds = perf_counter() - began
    for client in clients:
        client.close()
    return Outcome(len(run.complete), seconds, _median_and_p99(run.complete), _median_and_p99(run.first), run.failure)


def _median_and_p99(times: list[float]) -> tuple[float, float]:
    ordered = sorted(times) or [0.0]
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]


def main() -> None:
    """Run jobs until the input ends."""
    for line in sys.stdin.buffer:
        outcome = uvloop.run(work(msgspec.json.decode(line, type=Job)))
        sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
