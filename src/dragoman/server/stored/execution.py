"""Executions whose responses are stored: their runs belong to a job, which may outlive the request."""

from collections.abc import Sequence
from types import TracebackType
from typing import Generic, Self

from dragoman.dialects.base import StorageOptions, StoringDialect
from dragoman.runs.run import Run
from dragoman.server.collect import RequestT, RunGroup
from dragoman.server.context import RequestContext
from dragoman.server.disconnect import ClientDisconnected
from dragoman.server.stored.follow import JobEvents
from dragoman.server.stored.job import Job, JobSpec
from dragoman.server.stored.queued import QueuedRequest
from dragoman.server.stored.service import StoredResponseService
from dragoman.server.stored.writer import Lease, ResponseWriter
from dragoman.server.stream import EventSource


class StoredExecution(Generic[RequestT]):
    """The execution of a request whose response is stored. See `dragoman.server.generate.Execution`.

    Args:
        service: The stored responses.
        dialect: The dialect of the request.
        context: The request's context.
        request: The request.
        group: Its runs, which have not been started.
    """

    def __init__(
        self,
        service: StoredResponseService,
        dialect: StoringDialect[RequestT],
        context: RequestContext,
        request: RequestT,
        group: RunGroup,
    ) -> None:
        self._service = service
        self._dialect = dialect
        self._context = context
        self._request = request
        self._storage = request.storage or StorageOptions()
        self._group = group
        self._job: Job[RequestT] | None = None

    @property
    def runs(self) -> Sequence[Run]:
        """See `Execution.runs`."""
        return self._group.runs

    async def start(self) -> None:
        """See `Execution.start`. The response of a background request is in the store from then on."""
        context, group = self._context, self._group
        group.given_identity = context.identity
        await group.start(self._request.choices)
        lease = Lease(context.client, self._service.jobs.producer)
        background = self._storage.background
        queued = QueuedRequest.of(context, group.identity).encode() if background else None
        writer = ResponseWriter(
            self._service.store, self._dialect.stored_format, self._request, group.identity, lease, queued
        )
        try:
            if background:
                # No call without a record: the runs wait until the response is in the store.
                for run in group.runs:
                    run.hold()
                await writer.begin()
                for run in group.runs:
                    run.proceed(writer.leave_queue)
            else:
                context.runs = group.all_runs
        except BaseException:
            await group.cancel("cannot be stored")
            raise
        self._job = Job(JobSpec(self._dialect, self._request, group, writer), detached=background)
        task = self._service.jobs.start(self._job)
        if context.reservation is not None:
            context.reservation.hold_until(task)

    def events(self) -> EventSource:
        """See `Execution.events`."""
        job = self._started()
        self._context.warnings = job.warnings
        return JobEvents(job)

    async def body(self) -> bytes:
        """See `Execution.body`. The client of a background request gets the response as it is now, not its end."""
        job = self._started()
        if self._storage.background and job.document:
            body = self._dialect.stored_format.view(job.document)
        else:
            body = await job.result()
        self._context.warnings = job.warnings
        return body

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        job = self._job
        if job is None:
            return
        if isinstance(error, ClientDisconnected) and self._storage.requested:
            self._context.runs = ()  # the job counts them when it ends
            await job.detach()
        elif not job.detached:
            await job.cancel()

    def _started(self) -> Job[RequestT]:
        if self._job is None:
            raise RuntimeError("The execution has not been started.")
        return self._job


class ResponseStorage(Generic[RequestT]):
    """Makes the executions of requests whose responses are stored. See `ExecutionStorage`.

    Args:
        service: The stored responses; None: this gateway stores none.
        dialect: The dialect of the requests.
    """

    def __init__(self, service: StoredResponseService | None, dialect: StoringDialect[RequestT]) -> None:
        self._service = service
        self._dialect = dialect

    def execution(
        self, context: RequestContext, request: RequestT, group: RunGroup
    ) -> StoredExecution[RequestT] | None:
        """Return the execution of a request; None when its response is not stored."""
        if self._service is None or request.storage is None:
            return None
        return StoredExecution(self._service, self._dialect, context, request, group)
