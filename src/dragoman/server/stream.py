"""Streamed responses: events from their source to the client, heartbeats in silence, and errors inside the stream."""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from dragoman.core.errors import GatewayError, UpstreamFailed
from dragoman.core.events import BlockDelta, Event, MessageEvent, MessageStop, Restarted, Retrying, Started
from dragoman.dialects.base import StreamEncoder
from dragoman.dialects.shared import sse
from dragoman.server.collect import RunGroup
from dragoman.server.context import HEARTBEAT_KEY, RawHeaders, RequestContext
from dragoman.server.replies import client_error

STREAM_HEADERS: RawHeaders = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class EventSource(Protocol):
    """Where the encoded events of a stream come from.

    Attributes:
        heartbeat: What to send in silence. Clients ignore it. Nothing, once the client has the last event.
        ended: Whether the last events have been returned.
        failure: What ended the stream instead of a response.
    """

    heartbeat: bytes
    ended: bool
    failure: GatewayError | None

    async def next(self, timeout: float | None) -> list[bytes]:  # noqa: ASYNC109 - silence is a result here
        """Return the next server-sent events, each piece for a write of its own; nothing after `timeout` seconds.

        Raises:
            Exception: The source failed. `fail` then ends the stream, unless nothing has been sent.
        """
        ...

    def fail(self, error: GatewayError) -> list[bytes]:
        """End the stream with an error. Return the events that say so."""
        ...


class RunEvents:
    """The events of runs that execute in this process.

    Args:
        group: The runs.
        encoder: Encodes their events in the dialect of the client.
        hold_final: Whether the end of each message is returned only when all runs have ended.
    """

    def __init__(self, group: RunGroup, encoder: StreamEncoder, *, hold_final: bool = False) -> None:
        self._group = group
        self._encoder = encoder
        self._hold_final = hold_final
        self._held: list[tuple[int, MessageStop]] = []
        self._filter = EventFilter()
        self.heartbeat = encoder.heartbeat
        self.ended = False
        self.failure: GatewayError | None = None

    async def next(self, timeout: float | None) -> list[bytes]:  # noqa: ASYNC109 - see `EventSource`
        """See `EventSource.next`."""
        encoder = self._encoder
        batch = await self._group.next(timeout)
        if batch is None:
            self.ended = True
            # Encoded only now: if a run fails behind its last event, none of these is sent, and their numbers are free.
            ends = b"".join([encoder.feed(event, choice) for choice, event in self._held])
            self.failure = encoder.failure
            return self.split(ends + encoder.finish())
        if batch and type(batch[-1][1]) is MessageStop and len(self._group.runs) == 1:
            self.heartbeat = b""  # only the end of the stream follows, and clients expect nothing else there
        data = b""
        for choice, event in self._filter.visible(batch):
            if self._hold_final and isinstance(event, MessageStop):
                self._held.append((choice, event))
                continue
            data += encoder.feed(event, choice)
            if encoder.failure:
                self._group.reject(choice, encoder.failure)
                self.failure, self.ended = encoder.failure, True
                break
        if not encoder.separate_events:
            return [data] if data else []  # as `split`, without its call: this is the hot path
        return self.split(data)

    def fail(self, error: GatewayError) -> list[bytes]:
        """See `EventSource.fail`."""
        data = self._encoder.fail(error)
        self.failure, self.ended = self._encoder.failure, True
        return self.split(data)

    def split(self, data: bytes) -> list[bytes]:
        """Split into single events only if the dialect needs it: some clients take each read for one event."""
        if self._encoder.separate_events:
            return sse.events(data)
        return [data] if data else []


class EventFilter:
    """Passes on the events that the client sees, and notices when a part that it has seen becomes void."""

    _HIDDEN = frozenset({Started, Retrying, Restarted})

    def __init__(self) -> None:
        self._visible: set[int] = set()

    def visible(self, batch: list[tuple[int, Event]]) -> list[tuple[int, MessageEvent]]:
        """Return the events of a batch that the client sees.

        Raises:
            UpstreamFailed: A response broke off after the client has seen a part. A retry would be another response.
        """
        if len(batch) == 1 and isinstance(batch[0][1], BlockDelta):  # as most batches are
            self._visible.add(batch[0][0])
            return cast("list[tuple[int, MessageEvent]]", batch)
        events: list[tuple[int, Event]] = []
        for choice, event in batch:
            kind = type(event)
            if kind is BlockDelta or kind not in self._HIDDEN:  # most events are deltas
                events.append((choice, event))
            elif choice in self._visible and kind is not Started:
                raise UpstreamFailed("Claude's response broke off before its end. Send the request again.")
            elif kind is Restarted:
                events = [item for item in events if item[0] != choice]
        self._visible.update([choice for choice, _ in events])
        return cast("list[tuple[int, MessageEvent]]", events)


class StreamedResponse:
    """Sends one response as server-sent events.

    The status goes out with the first events, so that an early failure is a plain HTTP error. After one heartbeat
    interval of silence it goes out anyway: clients and proxies close connections that stay silent.

    Args:
        context: The request.
        source: Where the events come from.
        heartbeat: Seconds of silence after which a heartbeat is sent.
        headers: Returns the headers to send with the status.
    """

    def __init__(
        self, context: RequestContext, source: EventSource, heartbeat: float, headers: Callable[[], RawHeaders]
    ) -> None:
        self._context = context
        self._source = source
        self._heartbeat = heartbeat
        self._headers = headers
        self._clock = asyncio.get_running_loop().time
        self._last_write = self._clock()

    async def send(self) -> None:
        """Send all events.

        Raises:
            Exception: The source failed and nothing has been sent yet.
        """
        source = self._source
        ended = False
        while not ended:
            try:
                pieces = await source.next(self._seconds_to_heartbeat())
            except Exception as error:
                if not self._context.status:
                    raise
                pieces = source.fail(client_error(error, self._context))
            ended = source.ended
            if not pieces and not ended and self._seconds_to_heartbeat() == 0:
                pieces = [source.heartbeat]
            await self._write(pieces, last=ended)
        self._context.error = source.failure

    def _seconds_to_heartbeat(self) -> float:
        return max(0.0, self._last_write + self._heartbeat - self._clock())

    async def _write(self, pieces: list[bytes], *, last: bool) -> None:
        if not pieces and not last:
            return
        context = self._context
        if not context.status:
            headers = [*STREAM_HEADERS, *self._headers()]
            await context.send({"type": "http.response.start", "status": 200, "headers": headers})
            context.scope[HEARTBEAT_KEY] = self._source.heartbeat
        if not self._source.heartbeat:
            context.scope.pop(HEARTBEAT_KEY, None)
        *earlier, final = pieces or [b""]
        for data in earlier:
            await context.send({"type": "http.response.body", "body": data, "more_body": True})
        await context.send({"type": "http.response.body", "body": final, "more_body": not last})
        self._last_write = self._clock()
