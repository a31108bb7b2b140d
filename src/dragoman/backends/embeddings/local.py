"""Requests that wait for vectors, cut into batches that several of them share.

A local model: one process, loaded at the first request, and one task that feeds it batches.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import structlog

from dragoman.backends.base import Embedded
from dragoman.backends.embeddings.frames import Answer, Batch, TooLong, Unreadable, Vector
from dragoman.backends.embeddings.library import INSTALL, ModelLocation
from dragoman.backends.embeddings.process import ModelProcess
from dragoman.core.errors import (
    ContextTooLong,
    GatewayError,
    InvalidRequest,
    QueueFull,
    ShuttingDown,
    TimedOut,
    UnsupportedFeature,
)


class Job:
    """One request, from its place in the queue to its last vector.

    Attributes:
        inputs: What it asks for.
        answer: Its vectors, or what became of it.
    """

    def __init__(self, inputs: Sequence[str | list[int]]) -> None:
        self.inputs = inputs
        self.answer: asyncio.Future[Embedded] = asyncio.get_running_loop().create_future()
        self._vectors: dict[int, Vector] = {}
        self._taken = 0

    @property
    def whole(self) -> bool:
        """Whether nothing of it waits any more."""
        return self._taken == len(self.inputs) or self.answer.done()

    def take(self, most: int) -> range:
        """The places of the next inputs that nobody has taken."""
        start, self._taken = self._taken, min(self._taken + most, len(self.inputs))
        return range(start, self._taken)

    def deliver(self, place: int, vector: Vector) -> None:
        """Give it one of its vectors."""
        self._vectors[place] = vector
        if len(self._vectors) == len(self.inputs) and not self.answer.done():
            ordered = [self._vectors[index] for index in range(len(self.inputs))]
            truncated = [index for index, one in enumerate(ordered) if one.truncated]
            self.answer.set_result(Embedded([one.data for one in ordered], sum(o.tokens for o in ordered), truncated))

    def fail(self, error: Exception) -> None:
        """Let it end without vectors; the first error stands."""
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(frozen=True, slots=True)
class Piece:
    """One input of one request."""

    job: Job
    place: int

    @property
    def input(self) -> str | list[int]:
        """The input itself."""
        return self.job.inputs[self.place]


class Jobs:
    """The queue. Requests take turns, so that a short one does not wait for all of a long one."""

    def __init__(self) -> None:
        self._waiting: deque[Job] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, job: Job) -> None:
        """Let one more wait."""
        self._waiting.append(job)

    def discard(self, job: Job) -> None:
        """Let one of them wait no longer, if it still does."""
        if job in self._waiting:
            self._waiting.remove(job)

    def batch(self, most: int) -> list[Piece]:
        """The next inputs: an equal part of each request, and more of those that have more."""
        share = max(1, most // max(1, len(self._waiting)))
        pieces: list[Piece] = []
        while self._waiting and len(pieces) < most:
            job = self._waiting.popleft()
            if not job.answer.done():
                pieces += [Piece(job, place) for place in job.take(min(share, most - len(pieces)))]
            if not job.whole:
                self._waiting.append(job)
        return pieces


log = structlog.get_logger("dragoman.embeddings")


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """How a local model is used.

    Attributes:
        batch: Inputs given to the process at once, of all requests together.
        truncate: Embed the beginning of inputs that are too long, instead of refusing them.
        timeout: Seconds that a request may take.
        max_waiting: Requests that may wait.
    """

    batch: int = 64
    truncate: bool = False
    timeout: float = 120.0
    max_waiting: int = 100


class LocalEmbedder:
    """The `Embedder` of a model on this machine.

    Args:
        place: The model.
        options: How it is used.
    """

    def __init__(self, place: ModelLocation, options: LocalOptions | None = None) -> None:
        self.model = place.name
        self._place = place
        self._options = options or LocalOptions()
        self._jobs = Jobs()
        self._process: ModelProcess | None = None
        self._working: asyncio.Task[None] | None = None
        self._current: list[Piece] = []
        self._closing = False

    async def embed(self, inputs: Sequence[str | list[int]]) -> Embedded:
        """Wait for a turn and the vectors; see `Embedder`."""
        if self._closing:
            raise ShuttingDown("The gateway is stopping.", retry_after=5)
        if len(self._jobs) >= self._options.max_waiting:
            raise QueueFull("Too many requests wait for embeddings.", retry_after=1)
        job = Job(inputs)
        self._jobs.add(job)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work(), name="embeddings")
        try:
            async with asyncio.timeout(self._options.timeout):
                return await job.answer
        except TimeoutError:
            seconds = f"{self._options.timeout:g}"
            raise TimedOut(f"The embeddings took longer than {seconds} seconds (--embeddings-timeout).") from None
        finally:
            self._jobs.discard(job)

    async def aclose(self, grace: float = 0) -> None:
        """See `Embedder`."""
        self._closing = True
        if self._working and not self._working.done():
            await asyncio.wait([self._working], timeout=grace)
            self._working.cancel()
            await asyncio.wait([self._working])
        stopped = ShuttingDown("The gateway stopped before the vectors were made.", retry_after=5)
        for piece in [*self._current, *self._jobs.batch(len(self._jobs))]:
            piece.job.fail(stopped)
        await self._end_process()

    async def _work(self) -> None:
        """Feed the process until nobody waits."""
        while pieces := self._jobs.batch(self._options.batch):
            self._current = pieces
            try:
                answers = await self._answers([piece.input for piece in pieces])
            except Exception as error:  # noqa: BLE001 - those who wait must be told of any
                await self._end_process()
                for piece in pieces:
                    piece.job.fail(error)
            else:
                for piece, answer in zip(pieces, answers, strict=True):
                    self._deliver(piece, answer)
            self._current = []

    async def _answers(self, inputs: list[str | list[int]]) -> list[Answer]:
        if self._process is not None and not self._process.alive:
            await self._end_process()  # killed while it had nothing to do, as machines short of memory do
        if self._process is None:
            self._process = await ModelProcess.start(self._place)
            log.info("embeddings.loaded", model=self.model, max_tokens=self._process.max_tokens)
        try:
            async with asyncio.timeout(self._options.timeout):
                return (await self._process.ask(Batch(inputs, self._options.truncate))).answers
        except TimeoutError:
            raise TimedOut(f"The embedding model said nothing for {self._options.timeout:g} seconds.") from None

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        if process:
            await process.aclose()

    def _deliver(self, piece: Piece, answer: Answer) -> None:
        match answer:
            case Vector():
                piece.job.deliver(piece.place, answer)
            case TooLong(tokens=tokens):
                piece.job.fail(self._too_long(piece.place, tokens))
            case Unreadable(token=token):
                piece.job.fail(_unreadable(piece.place, token))
            case _:
                assert_never(answer)

    def _too_long(self, place: int, tokens: int) -> GatewayError:
        most = self._process.max_tokens if self._process else None
        return ContextTooLong(
            f"`input[{place}]` has {tokens} tokens; `{self.model}` reads {most} at most. Cut it into parts, or start "
            "the gateway with --embeddings-truncate.",
            param=f"input[{place}]",
        )


def _unreadable(place: int, token: int | None) -> GatewayError:
    param = f"input[{place}]"
    if token is None:
        return UnsupportedFeature(f"Token lists cannot be read here. Send text, or: {INSTALL}", param=param)
    return InvalidRequest(f"{token} in `{param}` is no token of `cl100k_base`, OpenAI's vocabulary.", param=param)
