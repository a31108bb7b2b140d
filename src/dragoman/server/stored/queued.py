"""Background responses that are queued: another process generates them when theirs stops or was killed.

The store has their requests until Claude is asked, and lets one process have each. So none is lost, and none is asked
twice: what a process had begun when it was killed is reported as failed.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import msgspec
from starlette.types import Message, Receive, Scope

from dragoman.core import log
from dragoman.core.errors import GatewayError, InternalError, QueueFull, RateLimited, ShuttingDown, StoreFailed
from dragoman.core.supervise import SupervisedTask
from dragoman.core.value_object import value_object
from dragoman.dialects.base import BackgroundFormat, ResponseIdentity
from dragoman.server.collect import RequestT
from dragoman.server.context import RequestContext
from dragoman.server.stored.service import StoredResponseService
from dragoman.stores.base import QueuedEntry, StoredEntry

_SEARCH_SECONDS = 3.0
"""Seconds between two searches for responses that another process has left."""
_MAX_SEARCHES_ALONE = 12
"""Searches in vain, if there are no other machines: until the lease of a process that was killed has ended."""
_TRANSIENT = (QueueFull, RateLimited, ShuttingDown, StoreFailed)
_NOT_KEPT = frozenset(
    {
        b"api-key",
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"cookie",
        b"idempotency-key",
        b"last-event-id",
        b"proxy-authorization",
        b"x-api-key",
    }
)
"""Headers that are no part of the request: secrets, and what the process that got the request has dealt with."""


@value_object
class QueuedRequest:
    """A request, as another process needs it. Its client was admitted.

    Attributes:
        path: The path.
        deployment: The model that the path names.
        headers: The headers, without secrets.
        body: The body.
        run: What names the response: the id of its first run.
        created: The time of that run, in seconds since 1970.
        agents: Whether the client may start agents.
    """

    path: str
    deployment: str | None
    headers: list[tuple[bytes, bytes]]
    body: bytes
    run: str
    created: int
    agents: bool

    @classmethod
    def of(cls, context: RequestContext, identity: ResponseIdentity) -> Self:
        """Return the request of a context, whose response is named by an identity."""
        headers = [(name, value) for name, value in context.headers.items() if name not in _NOT_KEPT]
        own = (context.path, context.deployment, headers, context.body)
        return cls(*own, identity.run_id, identity.created, context.may_start_agents)

    def encode(self) -> bytes:
        """Return it as bytes."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return what was encoded."""
        return msgspec.msgpack.decode(data, type=cls)

    def context(self, client: str) -> RequestContext:
        """Return a context of the request. What is sent there is dropped: the response is in the store."""
        scope: Scope = {
            "type": "http",
            "method": "POST",
            "path": self.path,
            "query_string": b"",
            "headers": self.headers,
            "client": None,
        }
        context = RequestContext(scope, _drop)
        context.client, context.authenticated, context.may_start_agents = client, True, self.agents
        context.deployment, context.identity = self.deployment, ResponseIdentity(self.run, self.created)
        return context

    def receive(self) -> Receive:
        """Return what gives the body, and no disconnection."""
        body: list[Message] = [{"type": "http.request", "body": self.body, "more_body": False}]

        async def receive() -> Message:
            if not body:
                await asyncio.Event().wait()
            return body.pop()

        return receive


class QueuedResponses:
    """Generates queued responses that other processes have left.

    Args:
        service: The stored responses.
        stored_format: The stored form of these responses.
        room: Returns how many runs could start now.
        shared: Whether other machines have the same store. Otherwise only what was left before the start is looked for.
    """

    def __init__(
        self,
        service: StoredResponseService,
        stored_format: BackgroundFormat[RequestT],
        room: Callable[[], int],
        *,
        shared: bool,
    ) -> None:
        self._service = service
        self._fail = stored_format.failed
        self._room = room
        self._shared = shared
        self._tasks: set[asyncio.Task[None]] = set()
        self._task = SupervisedTask(self._search, name="queued responses", on_failure=_log_failure)

    def start(self) -> None:
        """Begin to look for such responses."""
        self._task.start()

    async def drain(self, *, hand_over: bool) -> None:
        """Take no more, because this process stops. Optionally leave what is queued here to other processes."""
        await self.aclose()
        if hand_over:
            await self._service.jobs.hand_over()

    async def aclose(self) -> None:
        """Take no more. What was taken and is not generated yet is left to others again. Idempotent."""
        await self._task.aclose()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _search(self) -> None:
        store, producer = self._service.store, self._service.jobs.producer
        in_vain = 0
        while self._shared or in_vain < _MAX_SEARCHES_ALONE:
            if (room := self._room()) > 0:
                with suppress(StoreFailed):  # the store has logged it
                    found = await store.take_over(producer, room)
                    in_vain += not found
                    for queued in found:
                        log.info("job.taken_over", id=queued.entry.id)
                        task = asyncio.create_task(self._resume(queued))
                        self._tasks.add(task)
                        task.add_done_callback(self._tasks.discard)
            self._task.recovered()
            await asyncio.sleep(_SEARCH_SECONDS)

    async def _resume(self, queued: QueuedEntry) -> None:
        """Have a response generated. From the start of its job on, that one says how it ends."""
        request, entry = QueuedRequest.decode(queued.request), queued.entry
        context = request.context(entry.owner)
        try:
            await self._service.jobs.generate(context, request.receive())
        except (*_TRANSIENT, asyncio.CancelledError):
            await self._leave(entry)
        except Exception as error:
            if not isinstance(error, GatewayError):
                log.exception("job.broke", id=entry.id)
            failure = error if isinstance(error, GatewayError) else InternalError("Internal error.")
            with suppress(StoreFailed):
                await self._service.store.finish(entry.id, self._fail(entry.body, failure))
        finally:
            if context.reservation is not None:
                context.reservation.release()
            context.end()

    async def _leave(self, entry: StoredEntry) -> None:
        """Leave a response that could not be begun now. Do nothing if it was."""
        with suppress(StoreFailed):
            await self._service.store.hand_over(self._service.jobs.producer, [entry.id])


async def _drop(message: Message) -> None:
    """Send nothing."""


def _log_failure(error: Exception, pause: float) -> None:
    log.error("job.search_broke", retry_in=pause, exc_info=error)
