"""The making of one answer that is kept: it has an owner of its own, and clients only look on.

The owner of all jobs: it starts them, tells the archive that they go on, and ends them.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic

import structlog

from dragoman.core.errors import GatewayError, InternalError, ShuttingDown, StoreFailed
from dragoman.core.events import MessageStop
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import (
    BackgroundStreamEncoder,
    Request,
    ResponseIdentity,
    StoringDialect,
    StreamEncoder,
)
from dragoman.runs.run import Run
from dragoman.server.collect import CollectedResponse, RunGroup, Submit
from dragoman.server.responses.store import ResponseWriter
from dragoman.server.stream import EventFilter, writes
from dragoman.stores.base import ResponseStore

log = structlog.get_logger("dragoman.server")


@dataclass(frozen=True, slots=True)
class JobSpec(Generic[Request]):
    """What a job is to make.

    Attributes:
        dialect: The dialect.
        decoded: The request.
        submit: Begins runs for choices of the request.
    """

    dialect: StoringDialect[Request]
    decoded: Request
    submit: Submit


class Job(Generic[Request]):
    """Makes an answer and has it kept.

    `run` is for the task of its owner alone. Everyone else looks at `told`, waits for `news`, and may `cancel`.

    Args:
        order: What to make.
        choices: Its runs, which were begun.
        keeper: Keeps it.
        lasting: Whether it goes on without the client that asked.

    Attributes:
        id: The answer's id.
        choices: Its runs.
        lasting: Whether it goes on without the client that asked.
        told: The pieces of its stream so far.
        early: Whether it failed before anything was told of it.
        body: The plain answer, once it is made.
        error: What it ended with instead.
        ended: Whether nothing more will happen.
    """

    def __init__(
        self, order: JobSpec[Request], choices: RunGroup, keeper: ResponseWriter[Request], *, lasting: bool = False
    ) -> None:
        first = choices.runs[0]
        self._order = order
        self._identity = ResponseIdentity(first.id, first.created)
        self._keeper = keeper
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unwanted = False
        self._made = False
        self._whole = CollectedResponse(order.dialect, order.decoded, choices, order.submit)
        self.id = keeper.id
        self.choices = choices
        self.lasting = lasting
        self.told: list[bytes] = []
        self.early = False
        self.body: bytes | None = None
        self.error: GatewayError | None = None
        self.ended = False

    @property
    def held(self) -> bool:
        """Whether it can be found in the archive and is still being made."""
        return self._keeper.open

    @property
    def begun(self) -> bytes | None:
        """The document of what has begun, where the answer can be found while it is made."""
        return self._keeper.begun

    @property
    def queued(self) -> bool:
        """Whether none of its runs has left the queue yet."""
        return all(run.status == "queued" for run in self.choices.runs)

    @property
    def warnings(self) -> tuple[RequestWarning, ...]:
        """What its client is to be warned of, as far as that is known."""
        return self._order.decoded.warnings + self._whole.warnings + self._keeper.warnings

    def driven_by(self, task: "asyncio.Task[None]") -> None:
        """Name the task that `cancel` ends."""
        self._task = task

    async def cancel(self) -> None:
        """End it now. Idempotent; returns when everything is over.

        What is made and has only to be kept is not ended any more: its stream and its document would not agree.
        """
        if self._task is not None:
            if not (self.ended or self._unwanted or self._made):
                self._unwanted = True
                self._task.cancel()
            await asyncio.wait([self._task])

    async def outlive(self) -> None:
        """Go on without the client that asked; where the dialect has a form for that, it can be asked for meanwhile."""
        if not self.ended:
            self.lasting = True
            with suppress(StoreFailed):  # it is in the log; perhaps the end of it can be kept
                await self._keeper.begin()

    async def made(self) -> bytes:
        """The plain answer.

        Raises:
            GatewayError: It failed, or nobody wants it any more.
        """
        while not self.ended:
            await self.news(None)
        if self.body is None:
            raise self.error or ShuttingDown("This answer was ended before it was whole.")
        return self.body

    async def news(self, timeout: float | None) -> None:  # noqa: ASYNC109 - silence is no error
        """Wait until more is told or it has ended, for so many seconds at most."""
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._news.wait()

    async def run(self) -> None:
        """Make the answer. However it ends, what is kept of it says so."""
        try:
            await (self._stream() if self._order.decoded.stream else self._make())
        except asyncio.CancelledError:
            await self._keeper.cancelled()
        except Exception as error:  # noqa: BLE001 - told to whoever looks on, and to the log
            self.error = _shown(error, self.id)
            await self._keeper.failed(self.error, begun=bool(self.told) and not self.early)
        finally:
            self.ended = True
            self._news.set()
            await self.choices.cancel("request over")

    async def _make(self) -> None:
        body = await self._whole.make()
        self._require_wanted()
        self._made = True
        await self._keeper.whole(self._whole.answers, body)
        self.body = body

    async def _stream(self) -> None:
        order = self._order
        encoder = order.dialect.encode_stream(order.decoded, self._identity)
        try:
            if self._keeper.begun and isinstance(encoder, BackgroundStreamEncoder):
                await self._tell(encoder.queue(), encoder)
            last = await self._pass_on(encoder)
            self._require_wanted()
        except asyncio.CancelledError:
            if isinstance(encoder, BackgroundStreamEncoder):
                await self._tell(encoder.cancel(), encoder)
            raise
        except Exception as error:
            self.early = not self.told
            await self._tell(encoder.fail(_shown(error, self.id)), encoder)
            raise
        if encoder.failure:
            await self._tell(last, encoder)
            raise encoder.failure
        self._made = True
        answers = [run.result() for run in self.choices.runs]
        await self._keeper.events(writes(last, encoder))
        body = encoder.response_body or order.dialect.encode(order.decoded, self._identity, answers)
        await self._keeper.whole(answers, body)
        self._say(last, encoder)

    async def _pass_on(self, encoder: StreamEncoder) -> bytes:
        """Tell all but the end of the answer, which is told once it is kept."""
        sifter, last = EventFilter(), b""
        while not encoder.failure and (batch := await self.choices.next(None)) is not None:
            told = b""
            for choice, event in sifter.seen(batch):
                data = encoder.feed(event, choice)
                if encoder.failure or isinstance(event, MessageStop):
                    last += data
                else:
                    told += data
                if encoder.failure:
                    self.choices.reject(choice, encoder.failure)
                    break
            await self._tell(told, encoder)
        return last + encoder.finish()

    async def _tell(self, data: bytes, encoder: StreamEncoder) -> None:
        await self._keeper.events(self._say(data, encoder))

    def _say(self, data: bytes, encoder: StreamEncoder) -> list[bytes]:
        pieces = writes(data, encoder)
        self.told += pieces
        if pieces:
            self._news.set()
        return pieces

    def _require_wanted(self) -> None:
        """A run that somebody else has ended ends the job."""
        if any(run.status == "cancelled" for run in self.choices.runs):
            raise asyncio.CancelledError


def _shown(error: Exception, id_: str) -> GatewayError:
    """What clients are told of any failure; the inside of an unexpected one goes to the log alone."""
    if isinstance(error, GatewayError):
        return error
    log.error("job.broke", id=id_, exc_info=error)
    return InternalError(f"Internal error. The gateway's log has the details under {id_}.")


RENEWAL = 3.0
"""Seconds between two signs of life; an archive has to wait for some of them before it takes a job for abandoned."""


class Jobs:
    """Owns the task of every job.

    Args:
        archive: Where answers are kept.
        renewal: Seconds between two signs of life.

    Attributes:
        holder: Who this is, as the archive knows him.
    """

    def __init__(self, archive: ResponseStore, renewal: float = RENEWAL) -> None:
        self._archive = archive
        self._renewal = renewal
        self._jobs: dict[str, Job[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._count: Callable[[Sequence[Run]], None] = lambda _: None
        self.holder = secrets.token_hex(16)

    def start(self, job: Job[Any]) -> None:
        """Let a job run to its end, whoever looks on."""
        task = asyncio.create_task(job.run(), name=job.id)
        job.driven_by(task)
        self._jobs[job.id] = job
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._forget(job, task))
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew(), name="jobs.renew")

    def counted_by(self, count: Callable[[Sequence[Run]], None]) -> None:
        """Say who is told of the runs of each job that had no client left at its end."""
        self._count = count

    def get(self, id_: str) -> Job[Any] | None:
        """A job that is still at work here."""
        return self._jobs.get(id_)

    async def aclose(self) -> None:
        """Wait for all jobs, whose runs have been ended, and stop. Idempotent."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._renewing is not None:
            self._renewing.cancel()
            with suppress(asyncio.CancelledError):
                await self._renewing
            self._renewing = None

    def _forget(self, job: Job[Any], task: "asyncio.Task[None]") -> None:
        self._jobs.pop(job.id, None)
        self._tasks.discard(task)
        if job.lasting:
            self._count(job.choices.every)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._renewal)
            held = {id_: job for id_, job in self._jobs.items() if job.held}
            if held:
                await self._renew_once(held)

    async def _renew_once(self, held: dict[str, Job[Any]]) -> None:
        try:
            ours = await self._archive.renew(self.holder)
        except StoreFailed:
            return  # it is in the log; the next time comes soon
        for id_, job in held.items():
            if id_ not in ours and job.held:
                log.info("job.taken", id=id_)
                await job.cancel()
