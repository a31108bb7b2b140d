"""The client's side of a request: reading its body, and noticing that the client disconnected."""

import asyncio
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from starlette.types import Receive

from dragoman.core.errors import RequestTimeout
from dragoman.core.value_object import value_object
from dragoman.server.body_budget import LARGE_BODY, BodyBudget
from dragoman.server.content_coding import body_decoder, too_large
from dragoman.server.context import BODY_KEY, RequestContext

_WATCH_DELAY = 0.05
"""Seconds before a disconnect is watched for. A response that is ready sooner is not worth a task."""


class ClientDisconnected(Exception):  # noqa: N818 - an event, not a fault
    """The client closed its connection before the response was complete."""


@value_object
class BodyTimeouts:
    """How long a request body may take, in seconds.

    Attributes:
        silence: The longest time without a new part.
        total: The longest time for the whole body.
    """

    silence: float = 60.0
    total: float = 600.0


_BODY_TIMEOUTS = BodyTimeouts()


async def read_body(
    context: RequestContext,
    receive: Receive,
    limit: int,
    budget: BodyBudget | None = None,
    timeouts: BodyTimeouts = _BODY_TIMEOUTS,
) -> bytes:
    """Read a request body of at most `limit` bytes, and decode its `Content-Encoding`. The limit holds for both forms.

    Args:
        context: The request. Gets the reservation of a large body.
        receive: Receives the body.
        limit: The maximum size.
        budget: The memory for large bodies; None: `limit` is small.
        timeouts: How long the body may take.

    Raises:
        Overloaded: There is no memory for a large body.
        RequestTooLarge: The body is longer, or its `content-length` says so.
        UnsupportedContentEncoding: Its coding is unknown.
        InvalidRequest: The encoded body is corrupt.
        RequestTimeout: It does not arrive in time.
        ClientDisconnected: The client disconnected before the end of the body.
    """
    take_body: Callable[[int], bytes | None] | None = context.scope.pop(BODY_KEY, None)
    if take_body is not None and b"content-encoding" not in context.headers:
        body = take_body(min(limit, LARGE_BODY))
        if body is not None:
            return body
    decoder = body_decoder(context.headers.get(b"content-encoding", b""), limit)
    parts: list[bytes] = []
    size, free = 0, LARGE_BODY if budget and context.reservation is None else limit
    incoming = _IncomingBody(context, receive, limit, timeouts)
    while incoming.has_more:
        part = await incoming.next()
        for piece in (part,) if decoder is None else decoder.feed(part):
            size += len(piece)
            if size > free and budget:
                declared = None if decoder else context.headers.get(b"content-length")
                context.reservation = await budget.reserve(limit if declared is None else int(declared))
                free = limit
            parts.append(piece)
            if decoder is not None:
                await asyncio.sleep(0)  # other requests get a turn after each piece
    if decoder is not None:
        decoder.finish()
    if context.reservation is not None:
        context.reservation.resize(size)
    if len(parts) == 1:
        return parts[0]
    return b"".join(parts) if budget is None else await budget.run(size, partial(b"".join, parts))


class _IncomingBody:
    """The parts of a body as they arrive. A generator would be registered and finalized by the event loop.

    Attributes:
        has_more: Whether there is another part.
    """

    def __init__(self, context: RequestContext, receive: Receive, limit: int, timeouts: BodyTimeouts) -> None:
        declared = context.headers.get(b"content-length")
        if declared is not None and int(declared) > limit:  # the HTTP server has checked that it is a number
            raise too_large(limit)
        self.has_more = True
        self._receive = receive
        self._limit = limit
        self._silence = timeouts.silence
        self._clock = asyncio.get_running_loop().time
        self._end = self._clock() + timeouts.total
        self._size = 0

    async def next(self) -> bytes:
        """Return the next part."""
        try:
            async with asyncio.timeout_at(min(self._end, self._clock() + self._silence)):
                message = await self._receive()
        except TimeoutError:
            raise RequestTimeout("The request body did not arrive in time. Send the request again.") from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        part: bytes = message.get("body", b"")
        self._size += len(part)
        if self._size > self._limit:
            raise too_large(self._limit)
        self.has_more = message.get("more_body", False)
        return part


class cancel_on_disconnect:  # noqa: N801 - used like a function: `async with cancel_on_disconnect(receive):`
    """Cancel the body of an `async with` when the client disconnects, and raise `ClientDisconnected`.

    An ASGI server reports a lost client only at the next write, and a thinking model may be silent for minutes. So
    `receive` is watched directly. Nothing else may use `receive` inside the block; what is left of the request body is
    discarded.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._watch_task: asyncio.Task[None] | None = None
        self._is_gone = False

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("There is no task that could be cancelled.")
        self._task = task
        self._cancelling = task.cancelling()
        self._start = asyncio.get_running_loop().call_later(_WATCH_DELAY, self._start_watching)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._start.cancel()
        if self._watch_task is None:
            return
        self._watch_task.cancel()
        # As `asyncio.timeout` does it: the counts keep a cancellation from outside apart from ours.
        is_ours = self._is_gone and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError
        await asyncio.wait([self._watch_task])
        if is_ours:
            raise ClientDisconnected from None

    def _start_watching(self) -> None:
        self._watch_task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass  # the rest of a body that the handler did not read
        self._is_gone = True
        self._task.cancel()
