"""Of all that happens in the runs of an answer: what its client is to see, and in what pieces.

Driving a streamed answer: batches as they come, heartbeats in the silence, errors in the stream once it began.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator

from dragoman.core.errors import UpstreamFailed
from dragoman.core.events import Event, MessageEvent, Restarted, Retrying, Started
from dragoman.dialects.base import StreamEncoder
from dragoman.dialects.shared import sse
from dragoman.server.collect import RunGroup
from dragoman.server.context import RawHeaders, RequestContext
from dragoman.server.replies import gateway_error

_BESIDE_THE_ANSWER = (Started, Retrying, Restarted)


class EventFilter:
    """Remembers of which answers something was seen."""

    def __init__(self) -> None:
        self._begun: set[int] = set()

    def seen(self, batch: list[tuple[int, Event]]) -> list[tuple[int, MessageEvent]]:
        """What the client is to see.

        Raises:
            UpstreamFailed: An answer broke off of which the client has seen a part: asked again, it would be another.
        """
        news: list[tuple[int, MessageEvent]] = []
        for choice, event in batch:
            if not isinstance(event, _BESIDE_THE_ANSWER):
                news.append((choice, event))
            elif choice in self._begun and not isinstance(event, Started):
                raise UpstreamFailed("Claude's answer broke off in the middle. Ask again.")
            elif isinstance(event, Restarted):
                news = [item for item in news if item[0] != choice]
        self._begun.update(choice for choice, _ in news)
        return news


def writes(data: bytes, encoder: StreamEncoder) -> list[bytes]:
    """One write for all that has come, where the dialect does not want more."""
    if encoder.separate_events:
        return sse.events(data)
    return [data] if data else []


STREAM: RawHeaders = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class StreamedResponse:
    """Sends one answer as server-sent events.

    The status is sent with the first bytes, so that an early failure is a plain HTTP error; but after one heartbeat's
    time of silence it is sent all the same, since clients and proxies give up on connections that say nothing.
    """

    def __init__(
        self,
        context: RequestContext,
        choices: RunGroup,
        encoder: StreamEncoder,
        heartbeat: float,
        headers: Callable[[], RawHeaders],
    ) -> None:
        self._exchange = context
        self._choices = choices
        self._encoder = encoder
        self._heartbeat = heartbeat
        self._headers = headers
        self._sifter = EventFilter()
        self._clock = asyncio.get_running_loop().time
        self._spoke = self._clock()

    async def drive(self) -> None:
        """Send all there is.

        Raises:
            GatewayError: The run failed and nothing has been sent yet.
        """
        try:
            while not self._encoder.failure and (batch := await self._choices.next(self._patience())) is not None:
                await self._pass_on(batch)
            last = self._encoder.finish()
        except Exception as error:
            if not self._exchange.status:
                raise
            last = self._encoder.fail(gateway_error(error, self._exchange))
        self._exchange.error = self._encoder.failure
        *others, last = writes(last, self._encoder) or [b""]
        for data in others:
            await self._send(data)
        await self._send(last, more=False)

    def _patience(self) -> float:
        return max(0.0, self._spoke + self._heartbeat - self._clock())

    async def _pass_on(self, batch: list[tuple[int, Event]]) -> None:
        """Say what has come, or a heartbeat when what came means nothing to the client."""
        pieces = writes(b"".join(self._encoded(self._sifter.seen(batch))), self._encoder)
        for data in pieces:
            await self._send(data)
        if not pieces and self._patience() == 0:
            await self._send(self._encoder.heartbeat)

    def _encoded(self, news: Iterable[tuple[int, MessageEvent]]) -> Iterator[bytes]:
        """The events as the client gets them, up to the one by which an answer turns out to be at fault."""
        for choice, event in news:
            yield self._encoder.feed(event, choice)
            if failure := self._encoder.failure:
                self._choices.reject(choice, failure)
                return

    async def _send(self, data: bytes, *, more: bool = True) -> None:
        if not self._exchange.status:
            headers = [*STREAM, *self._headers()]
            await self._exchange.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._exchange.send({"type": "http.response.body", "body": data, "more_body": more})
        self._spoke = self._clock()
