"""Jobs: each generates one stored response in a task of its own, and clients only follow it."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic

from dragoman.core import log
from dragoman.core.errors import GatewayError, InternalError, ShuttingDown, StoreFailed
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import BackgroundStreamEncoder, StoringDialect, StreamEncoder
from dragoman.server.collect import RequestT, RunGroup, collect
from dragoman.server.stored.writer import ResponseWriter, handed_over
from dragoman.server.stream import RunEvents


@dataclass(frozen=True, slots=True)
class JobSpec(Generic[RequestT]):
    """What a job generates.

    Attributes:
        dialect: The dialect of the request.
        request: The request.
        group: Its runs, which have been started.
        writer: Writes the response to the store.
    """

    dialect: StoringDialect[RequestT]
    request: RequestT
    group: RunGroup
    writer: ResponseWriter[RequestT]


class Job(Generic[RequestT]):
    """Generates a response and stores it.

    `run` is for the task of `Jobs` alone. All others read `sent_events` and `body`, `wait_for_events`, or `cancel`.

    Args:
        spec: What to generate.
        detached: Whether the job continues when its client disconnects.

    Attributes:
        id: The id of the response.
        group: Its runs.
        detached: Whether the job continues when its client disconnects.
        sent_events: The events of its stream so far.
        failed_early: Whether the job failed before its stream had an event.
        body: The plain response, once it is complete.
        error: What the job failed with.
        ended: Whether the job has ended.
    """

    def __init__(self, spec: JobSpec[RequestT], *, detached: bool = False) -> None:
        self._spec = spec
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._cancelled = False
        self._generated = False
        self._late_warnings: tuple[RequestWarning, ...] = ()
        self.id = spec.writer.id
        self.group = spec.group
        self._identity = spec.group.identity  # a run that is started again must not change the id in the store
        self.detached = detached
        self.sent_events: list[bytes] = []
        self.failed_early = False
        self.body: bytes | None = None
        self.error: GatewayError | None = None
        self.ended = False

    @property
    def holds_lease(self) -> bool:
        """Return whether the response is in the store and still being generated."""
        return self._spec.writer.is_open

    @property
    def document(self) -> bytes | None:
        """Return the stored document of the response while it is generated, if there is one."""
        return self._spec.writer.document

    @property
    def is_queued(self) -> bool:
        """Return whether no run has left the queue yet."""
        return all(run.status == "queued" for run in self.group.runs)

    @property
    def warnings(self) -> tuple[RequestWarning, ...]:
        """Return the warnings for the client, as far as they are known."""
        return self._spec.request.warnings + self._late_warnings + self._spec.writer.warnings

    def attach_task(self, task: "asyncio.Task[None]") -> None:
        """Set the task that `cancel` ends."""
        self._task = task

    async def cancel(self) -> None:
        """End the job. Idempotent. Return when it has ended.

        A response that only has to be stored is not cancelled any more: its stream and its document would differ.
        """
        if self._task is not None:
            if not (self.ended or self._cancelled or self._generated):
                self._cancelled = True
                self._task.cancel()
            await asyncio.wait([self._task])

    async def hand_over(self) -> None:
        """End the job without an end of its response: another process generates it. Idempotent."""
        self._spec.writer.give_up()
        await self.cancel()

    async def detach(self) -> None:
        """Continue without the client. If the dialect has a form for it, the response can be read meanwhile."""
        if not self.ended:
            self.detached = True
            with suppress(StoreFailed):  # it is logged, and the complete response may still be stored
                await self._spec.writer.begin()

    async def result(self) -> bytes:
        """Wait for the plain response.

        Raises:
            GatewayError: The job failed or was cancelled.
        """
        while not self.ended:
            await self.wait_for_events(None)
        if self.body is None:
            raise self.error or ShuttingDown("This response was ended before it was complete.")
        return self.body

    async def wait_for_events(self, timeout: float | None) -> None:  # noqa: ASYNC109 - silence is no error
        """Wait until there are more events or the job has ended, for at most `timeout` seconds."""
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._changed.wait()

    async def run(self) -> None:
        """Generate the response. However this ends, the stored response says so."""
        writer = self._spec.writer
        try:
            await (self._stream() if self._spec.request.stream else self._collect())
        except asyncio.CancelledError:
            if writer.given_up:
                self.error = handed_over()
            await writer.cancel()
        except Exception as error:  # noqa: BLE001 - reported to the followers, and to the log
            self.error = _client_error(error, self.id)
            await writer.fail(self.error, was_sent=bool(self.sent_events) and not self.failed_early)
        finally:
            self.ended = True
            self._changed.set()
            await self.group.cancel("request over")

    async def _collect(self) -> None:
        spec = self._spec
        collected = await collect(spec.dialect, spec.request, self.group, self._identity)
        self._late_warnings = collected.warnings
        self._require_not_cancelled()
        self._generated = True
        await spec.writer.complete(collected.answers, collected.body)
        self.body = collected.body

    async def _stream(self) -> None:
        spec = self._spec
        encoder = spec.dialect.encode_stream(spec.request, self._identity)
        source = RunEvents(self.group, encoder, hold_final=True)
        try:
            if spec.writer.document and isinstance(encoder, BackgroundStreamEncoder):
                await self._publish(source.split(encoder.queue()))
            events = await source.next(None)
            while not source.ended:
                await self._publish(events)
                events = await source.next(None)
            self._require_not_cancelled()
        except asyncio.CancelledError:
            if isinstance(encoder, BackgroundStreamEncoder) and not spec.writer.given_up:
                await self._publish(source.split(encoder.cancel()))
            raise
        except Exception as error:
            self.failed_early = not self.sent_events
            failure = _client_error(error, self.id)
            await self._publish_failure(source.fail(failure), failure, encoder)
            raise
        if source.failure:
            await self._publish_failure(events, source.failure, encoder)
            raise source.failure
        # The client sees the end of the stream only once the response is stored.
        self._generated = True
        answers = [run.result() for run in self.group.runs]
        body = encoder.response_body or spec.dialect.encode(spec.request, self._identity, answers)
        await spec.writer.append(events)
        await spec.writer.complete(answers, body)
        self._send(events)

    async def _publish(self, events: Sequence[bytes]) -> None:
        self._send(events)
        await self._spec.writer.append(events)

    async def _publish_failure(self, events: Sequence[bytes], error: GatewayError, encoder: StreamEncoder) -> None:
        """Store a failed response before its client learns its id from the last event."""
        writer = self._spec.writer
        await writer.append(events)
        await writer.fail(error, was_sent=not self.failed_early, body=encoder.response_body)
        self._send(events)

    def _send(self, events: Sequence[bytes]) -> None:
        if events:
            self.sent_events += events
            self._changed.set()

    def _require_not_cancelled(self) -> None:
        """End the job if one of its runs was cancelled by someone else."""
        if any(run.status == "cancelled" for run in self.group.runs):
            raise asyncio.CancelledError


def _client_error(error: Exception, id_: str) -> GatewayError:
    """Return the error to show to clients. Details of an unexpected error go to the log only."""
    if isinstance(error, GatewayError):
        return error
    log.error("job.broke", id=id_, exc_info=error)
    return InternalError(f"Internal error. The gateway's log has the details under {id_}.")
