"""One process and its answer."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

import structlog

from dragoman.backends.claude_cli.output import Output
from dragoman.backends.claude_code.reader import Reader
from dragoman.backends.processes import Process
from dragoman.errors import TimedOut
from dragoman.events import Event
from dragoman.messages import JSONObject

log = structlog.get_logger("dragoman.cli_backend")


class CliRun:
    """The only user of a process, which answers once.

    Args:
        process: The process.
        reader: What understands its frames.
        output: Where what it prints is kept.
        silence: Seconds without a sign of life after which it is given up.
    """

    def __init__(self, process: Process, reader: Reader, output: Output | None, silence: float) -> None:
        self._process = process
        self._reader = reader
        self._silence = silence
        self._events: deque[Event] = deque()
        self._news = asyncio.Event()
        process.listen(self._take, self._end, output.write if output is not None else None)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def answer(self, text: str) -> AsyncGenerator[Event, None]:
        """Ask, and yield the answer's events.

        Raises:
            GatewayError: There is none.
        """
        self._process.write(text.encode())
        self._process.close_input()
        while True:
            while self._events:
                yield self._events.popleft()
            if self._reader.outcome != "open":
                break
            await self._news_or_silence()
        if self._reader.error is not None:
            raise self._reader.error

    async def end(self) -> None:
        """Kill the process, with its group. Returns when it is gone; idempotent."""
        self._process.kill()
        await asyncio.shield(self._process.exited)

    async def _news_or_silence(self) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout(self._silence):
                await self._news.wait()
        except TimeoutError:
            raise TimedOut(f"Claude gave no sign of life for {self._silence:g} seconds.") from None

    # Called by the process, in the event loop's own callback.

    def _take(self, frame: JSONObject) -> None:
        self._events.extend(self._reader.feed(frame))
        if self._reader.outcome == "spent":
            # Before it asks the API to go on, some 9 ms from here.
            self._process.kill()
        self._news.set()

    def _end(self, reason: str) -> None:
        if self._reader.outcome == "open":
            log.warning("cli.ended", pid=self.pid, reason=reason, stderr=self._process.complaints)
        self._reader.broke(reason)
        self._news.set()
