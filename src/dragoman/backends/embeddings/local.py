"""The `Embedder` of a local model: one process, loaded at the first request, and one task that sends it batches.

Batches are shared: each holds inputs of several requests.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import assert_never

from dragoman.backends.base import Embedded
from dragoman.backends.embeddings.frames import Answer, Batch, TooLong, Unreadable, Vector
from dragoman.backends.embeddings.library import INSTALL, ModelLocation
from dragoman.backends.embeddings.process import ModelProcess
from dragoman.core import log
from dragoman.core.errors import (
    ContextTooLong,
    GatewayError,
    InvalidRequest,
    QueueFull,
    ShuttingDown,
    TimedOut,
    UnsupportedFeature,
)
from dragoman.core.value_object import value_object


class Job:
    """One request, from the queue to its last vector.

    Attributes:
        inputs: Its inputs.
        result: Its vectors, or its error.
    """

    def __init__(self, inputs: Sequence[str | list[int]]) -> None:
        self.inputs = inputs
        self.result: asyncio.Future[Embedded] = asyncio.get_running_loop().create_future()
        self._vectors: dict[int, Vector] = {}
        self._taken = 0

    @property
    def all_taken(self) -> bool:
        """Whether none of its inputs is waiting."""
        return self._taken == len(self.inputs) or self.result.done()

    def take(self, limit: int) -> range:
        """Take up to `limit` inputs, and return their indices."""
        start, self._taken = self._taken, min(self._taken + limit, len(self.inputs))
        return range(start, self._taken)

    def deliver(self, index: int, vector: Vector) -> None:
        """Set one of its vectors."""
        self._vectors[index] = vector
        if len(self._vectors) == len(self.inputs) and not self.result.done():
            ordered = [self._vectors[index] for index in range(len(self.inputs))]
            truncated = [index for index, one in enumerate(ordered) if one.truncated]
            self.result.set_result(Embedded([one.data for one in ordered], sum(o.tokens for o in ordered), truncated))

    def fail(self, error: Exception) -> None:
        """End it with an error. The first error counts."""
        if not self.result.done():
            self.result.set_exception(error)


@value_object
class Piece:
    """One input of one request."""

    job: Job
    index: int

    @property
    def input(self) -> str | list[int]:
        """The input."""
        return self.job.inputs[self.index]


class Jobs:
    """The queue. Requests take turns, so that a short one does not wait for the end of a long one."""

    def __init__(self) -> None:
        self._waiting: deque[Job] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, job: Job) -> None:
        """Add a job."""
        self._waiting.append(job)

    def discard(self, job: Job) -> None:
        """Remove a job, if it is in the queue."""
        if job in self._waiting:
            self._waiting.remove(job)

    def batch(self, limit: int) -> list[Piece]:
        """Return the next inputs: an equal share of each request, and more of larger ones if there is space."""
        share = max(1, limit // max(1, len(self._waiting)))
        pieces: list[Piece] = []
        while self._waiting and len(pieces) < limit:
            job = self._waiting.popleft()
            if not job.result.done():
                pieces += [Piece(job, index) for index in job.take(min(share, limit - len(pieces)))]
            if not job.all_taken:
                self._waiting.append(job)
        return pieces


@value_object
class LocalOptions:
    """Options of a local model.

    Attributes:
        batch: The maximum number of inputs of one batch, of all requests together.
        truncate: Whether to truncate inputs that are too long, instead of refusing them.
        timeout: Seconds for a request.
        max_waiting: The maximum number of requests in the queue.
    """

    batch: int = 64
    truncate: bool = False
    timeout: float = 120.0
    max_waiting: int = 100


class LocalEmbedder:
    """The `Embedder` of a model on this machine.

    Args:
        location: The model.
        options: Its options.
    """

    def __init__(self, location: ModelLocation, options: LocalOptions | None = None) -> None:
        self.model = location.name
        self._location = location
        self._options = options or LocalOptions()
        self._jobs = Jobs()
        self._process: ModelProcess | None = None
        self._task: asyncio.Task[None] | None = None
        self._current: list[Piece] = []
        self._closing = False

    async def embed(self, inputs: Sequence[str | list[int]]) -> Embedded:
        """Embed the inputs. See `Embedder`."""
        if self._closing:
            raise ShuttingDown("The gateway is stopping.", retry_after=5)
        if len(self._jobs) >= self._options.max_waiting:
            raise QueueFull("Too many embeddings requests are waiting.", retry_after=1)
        job = Job(inputs)
        self._jobs.add(job)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="embeddings")
        try:
            async with asyncio.timeout(self._options.timeout):
                return await job.result
        except TimeoutError:
            seconds = f"{self._options.timeout:g}"
            raise TimedOut(f"The embeddings took longer than {seconds} seconds (--embeddings-timeout).") from None
        finally:
            self._jobs.discard(job)

    async def aclose(self, grace: float = 0) -> None:
        """See `Embedder`."""
        self._closing = True
        if self._task and not self._task.done():
            await asyncio.wait([self._task], timeout=grace)
            self._task.cancel()
            await asyncio.wait([self._task])
        stopped = ShuttingDown("The gateway stopped before the vectors were ready.", retry_after=5)
        for piece in [*self._current, *self._jobs.batch(len(self._jobs))]:
            piece.job.fail(stopped)
        await self._end_process()

    async def _run(self) -> None:
        """Send batches to the process until the queue is empty."""
        while pieces := self._jobs.batch(self._options.batch):
            self._current = pieces
            try:
                results = await self._embed([piece.input for piece in pieces])
            except Exception as error:  # noqa: BLE001 - any error ends the jobs that wait
                await self._end_process()
                for piece in pieces:
                    piece.job.fail(error)
            else:
                for piece, result in zip(pieces, results, strict=True):
                    self._deliver(piece, result)
            self._current = []

    async def _embed(self, inputs: list[str | list[int]]) -> list[Answer]:
        if self._process is not None and not self._process.alive:
            await self._end_process()  # killed while idle, as by a machine short of memory
        if self._process is None:
            self._process = await ModelProcess.start(self._location)
            log.info("embeddings.loaded", model=self.model, max_tokens=self._process.max_tokens)
        try:
            async with asyncio.timeout(self._options.timeout):
                return (await self._process.embed(Batch(inputs, self._options.truncate))).answers
        except TimeoutError:
            raise TimedOut(f"The embedding model did not respond within {self._options.timeout:g} seconds.") from None

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        if process:
            await process.aclose()

    def _deliver(self, piece: Piece, result: Answer) -> None:
        match result:
            case Vector():
                piece.job.deliver(piece.index, result)
            case TooLong(tokens=tokens):
                piece.job.fail(self._too_long(piece.index, tokens))
            case Unreadable(token=token):
                piece.job.fail(_unreadable(piece.index, token))
            case _:
                assert_never(result)

    def _too_long(self, index: int, tokens: int) -> GatewayError:
        limit = self._process.max_tokens if self._process else None
        return ContextTooLong(
            f"`input[{index}]` has {tokens} tokens; `{self.model}` reads {limit} at most. Split it, or start "
            "the gateway with --embeddings-truncate.",
            param=f"input[{index}]",
        )


def _unreadable(index: int, token: int | None) -> GatewayError:
    param = f"input[{index}]"
    if token is None:
        return UnsupportedFeature(f"Token lists cannot be read here. Send text, or: {INSTALL}", param=param)
    return InvalidRequest(f"{token} in `{param}` is not a token of `cl100k_base`, OpenAI's vocabulary.", param=param)
