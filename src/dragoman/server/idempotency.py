"""Requests with an `Idempotency-Key`: each is carried out once, and every repetition gets the same response.

The endpoint runs in a task of its own and writes its response to a `Recording`. All clients follow the recording, the
first one too. So a client that disconnects ends nothing, and one that comes back continues where it was cut.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dragoman.core import log
from dragoman.core.errors import Conflict, InvalidRequest, KeyReused, StoreFailed, UnsupportedFeature
from dragoman.core.process_identity import ProcessIdentity
from dragoman.runs.run import Run
from dragoman.server.context import CLIENT_CLOSED_REQUEST, RawHeaders, RequestContext, get_context
from dragoman.server.disconnect import ClientDisconnected, cancel_on_disconnect, read_body
from dragoman.server.recording import LAST_EVENT_ID, RecordedEvents, Recording, first_event
from dragoman.server.replies import Reply
from dragoman.server.stream import STREAM_HEADERS, StreamedResponse
from dragoman.stores.recordings import Claim, RecordingName, RecordingStore

if TYPE_CHECKING:
    from dragoman.server.options import ServerOptions

_HEADER = b"idempotency-key"
_PARAM = "Idempotency-Key"
_VALID_KEY = re.compile(rb"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?")
_REPLAYED = (b"idempotent-replayed", b"true")
_STREAM_HEADER_NAMES = frozenset(name for name, _ in STREAM_HEADERS)
_FIRST_ERROR = 400
_SEPARATE_EVENTS = "/responses"
"""The end of the path of the dialect whose clients take each read for one event."""


Elsewhere: TypeAlias = Callable[[RequestContext, Receive, bytes, str], Awaitable[bool]]
"""Has the process that carries a request out answer it, given its body and the process. Returns whether it did."""


class _Attempt:
    """The one execution of a request, which all repetitions follow.

    Attributes:
        recording: The response.
        request: The fingerprint of the request that the name was taken for, once `claimed` is set.
        claimed: Set when the name is taken, or known to be.
        producer: Another process that carries the request out, if one does.
        context: The context of the endpoint, if the request is carried out here.
        first_left: Whether the first client left before the end.
    """

    def __init__(self) -> None:
        self.recording = Recording()
        self.request = b""
        self.claimed = asyncio.Event()
        self.producer: str | None = None
        self.context: RequestContext | None = None
        self.first_left = False

    def leave(self, context: RequestContext) -> None:
        """Have the first client log and count the request. If it left early, the runs are counted at their end."""
        if not self.recording.ended:
            self.first_left = True
        elif self.context is not None:
            context.runs, context.error = self.context.runs, context.error or self.context.error


class IdempotencyService:
    """The requests with an `Idempotency-Key` that this process carries out, and the store of their responses.

    Args:
        store: Where the responses are recorded.
        producer: The name of this process among those that share the store.
        elsewhere: Has another process answer a request that it carries out; None: there is no other.
    """

    def __init__(self, store: RecordingStore, producer: str | None = None, elsewhere: Elsewhere | None = None) -> None:
        self.store = store
        self.elsewhere = elsewhere
        self.attempts: dict[RecordingName, _Attempt] = {}
        self.producer = producer or str(ProcessIdentity.current())
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, task: "asyncio.Task[None]") -> None:
        """Own the task of an attempt."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Wait for the requests that are carried out, whose runs have been ended. Idempotent."""
        while self._tasks:
            await asyncio.wait(self._tasks)


class IdempotentRoutes:
    """The routes, with requests that have an `Idempotency-Key` carried out once. Others pass untouched.

    Args:
        app: The routes.
        options: The server's options.
        count_runs: Counts the runs of a request whose first client left before its end.
        endpoint_of: Returns the endpoint of a path, for metrics.
    """

    def __init__(
        self,
        app: ASGIApp,
        options: "ServerOptions",
        count_runs: Callable[[Sequence[Run]], None],
        endpoint_of: Callable[[str], object],
    ) -> None:
        self._app = app
        self._options = options
        self._count_runs = count_runs
        self._endpoint_of = endpoint_of

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request. Of those without a key, nothing passes through here any more once they have begun."""
        if scope["method"] != "POST":
            return self._app(scope, receive, send)
        context = get_context(scope)
        if (key := context.headers.get(_HEADER)) is not None:
            return self._answer_once(context, receive, key)
        if LAST_EVENT_ID in context.headers or b"starting_after" in scope["query_string"]:
            raise InvalidRequest(
                "Only a stream that was requested with an `Idempotency-Key` can be continued. Send the same key and "
                "body again.",
                param=_PARAM,
            )
        return self._app(scope, receive, send)

    async def _answer_once(self, context: RequestContext, receive: Receive, key: bytes) -> None:
        try:
            await self._answer(context, receive, key)
        except ClientDisconnected:
            context.status = context.status or CLIENT_CLOSED_REQUEST
            context.log_fields["disconnect"] = context.disconnect_reason
        finally:
            if context.reservation is not None:
                context.reservation.release()

    async def _answer(self, context: RequestContext, receive: Receive, key: bytes) -> None:
        options, service = self._options, self._options.idempotency
        if service is None:
            raise UnsupportedFeature(
                "This gateway records no responses (--idempotency-ttl 0): it takes no `Idempotency-Key`.", param=_PARAM
            )
        if not _VALID_KEY.fullmatch(key):
            raise InvalidRequest("`Idempotency-Key` must have 1 to 255 visible ASCII characters.", param=_PARAM)
        first = first_event(context) or 0
        name = RecordingName(context.client, key.decode())
        raw = await read_body(context, receive, options.max_request_bytes, options.bodies)
        request = await options.bodies.run(len(raw), partial(_fingerprint, context, raw))
        context.scope["endpoint"] = self._endpoint_of(context.path)
        attempt = service.attempts.get(name)
        if attempt is not None:
            await self._repeat(context, receive, attempt, (request, raw), first)
            return
        attempt = service.attempts[name] = _Attempt()
        inner = context.detached()
        context.reservation = None  # the endpoint has it
        work = self._carry_out(service, name, attempt, inner, (request, raw))
        service.start(asyncio.create_task(work))
        try:
            await self._repeat(context, receive, attempt, (request, raw), first, is_first=True)
        finally:
            context.log_fields = {**inner.log_fields, **context.log_fields}
            attempt.leave(context)

    async def _repeat(
        self,
        context: RequestContext,
        receive: Receive,
        attempt: _Attempt,
        sent: tuple[bytes, bytes],
        first: int,
        *,
        is_first: bool = False,
    ) -> None:
        """Answer a request, given its fingerprint and body, with the response of an attempt."""
        request, raw = sent
        async with cancel_on_disconnect(receive):
            await attempt.claimed.wait()
            if attempt.request and attempt.request != request:
                raise KeyReused(
                    "This `Idempotency-Key` was sent with another request. Use a new key for a new request.",
                    param=_PARAM,
                )
            if attempt.producer is None:
                replayed = not is_first or attempt.context is None
                await self._follow(context, attempt.recording, first, replayed=replayed)
                return
        service = self._options.idempotency
        if not (service and service.elsewhere and await service.elsewhere(context, receive, raw, attempt.producer)):
            raise Conflict(
                "Another process of the gateway carries out the request with this `Idempotency-Key`. Send it again.",
                code="idempotent_request_in_progress",
                param=_PARAM,
                retry_after=1,
            )

    async def _follow(self, context: RequestContext, recording: Recording, first: int, *, replayed: bool) -> None:
        while not (recording.ended or (recording.status and recording.is_stream)):
            await recording.wait()
        if recording.error is not None and not recording.status:
            raise recording.error
        own: RawHeaders = [_REPLAYED] if replayed else []
        if recording.is_stream:
            headers = [header for header in recording.headers if header[0] not in _STREAM_HEADER_NAMES] + own
            source = RecordedEvents(recording, first, separate=context.path.endswith(_SEPARATE_EVENTS))
            await StreamedResponse(context, source, self._options.heartbeat, lambda: headers).send()
        else:
            headers = [header for header in recording.headers if header[0] != b"content-length"] + own
            await Reply(recording.status, b"".join(recording.parts), headers).send(context.send)

    async def _carry_out(
        self,
        service: IdempotencyService,
        name: RecordingName,
        attempt: _Attempt,
        context: RequestContext,
        sent: tuple[bytes, bytes],
    ) -> None:
        request, raw = sent
        recording = attempt.recording
        try:
            claim = await service.store.claim(name, request, service.producer)
            if claim is not None:
                _take_claim(claim, attempt, service.producer)
                return
            attempt.request, attempt.context = request, context
            attempt.claimed.set()
            try:
                await self._execute(recording, context, raw)
            finally:
                await _keep(service, name, recording)
        except Exception as error:  # noqa: BLE001 - every follower raises it
            recording.end(error)
        finally:
            del service.attempts[name]
            recording.end(recording.error)
            attempt.claimed.set()
            if context.reservation is not None:
                context.reservation.release()
            if attempt.first_left:
                self._count_runs(context.runs)
            context.end()

    async def _execute(self, recording: Recording, context: RequestContext, raw: bytes) -> None:
        """Run the endpoint. Its client is the recording, which never disconnects."""
        body: list[Message] = [{"type": "http.request", "body": raw, "more_body": False}]
        never = asyncio.Event()

        async def receive() -> Message:
            if not body:
                await never.wait()
            return body.pop()

        async def send(message: Message) -> None:
            recording.add(message, context)

        context.send_to(send)
        await self._app(context.scope, receive, context.send)


def _take_claim(claim: Claim, attempt: _Attempt, this_process: str) -> None:
    """Use what the store holds: a complete response, or the process that carries the request out.

    Raises:
        Conflict: The request was interrupted.
    """
    attempt.request = claim.request
    if claim.response is not None:
        attempt.recording = Recording.decode(claim.response)
    elif claim.interrupted or claim.producer == this_process:
        raise Conflict(
            "The gateway stopped while it carried out the request with this `Idempotency-Key`, and the response is "
            "lost. It may have been charged. To have the request carried out again, send it with a new key.",
            code="idempotent_request_interrupted",
            param=_PARAM,
        )
    else:
        attempt.producer = claim.producer


async def _keep(service: IdempotencyService, name: RecordingName, recording: Recording) -> None:
    """Store a complete response before its clients see its end. An error is not stored: it may be tried again."""
    try:
        if recording.status >= _FIRST_ERROR or not recording.status:
            await service.store.release(name, service.producer)
        elif not await service.store.finish(name, service.producer, recording.encode()):
            log.warning("recordings.not_kept", bytes=sum(map(len, recording.parts)))
    except StoreFailed:  # the store has logged why
        log.warning("recordings.not_kept", bytes=sum(map(len, recording.parts)))


def _fingerprint(context: RequestContext, raw: bytes) -> bytes:
    digest = hashlib.sha256(f"{context.deployment} {context.path}\0".encode())
    digest.update(raw)
    return digest.digest()
