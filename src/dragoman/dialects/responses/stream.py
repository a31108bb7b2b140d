"""A streamed answer as response events."""

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import cast

import msgspec

from dragoman.core.errors import GatewayError, UpstreamFailed
from dragoman.core.events import (
    BlockDelta,
    BlockStart,
    BlockStop,
    MessageDelta,
    MessageEvent,
    MessageStart,
    MessageStop,
)
from dragoman.core.messages import Block, JSONObject
from dragoman.dialects.base import ResponseIdentity
from dragoman.dialects.responses.items import Events
from dragoman.dialects.responses.output import Output
from dragoman.dialects.responses.request import ResponsesRequest
from dragoman.dialects.responses.response import Ending, Envelope
from dragoman.dialects.shared import sse
from dragoman.dialects.shared.answers import answer_id, refusal_of
from dragoman.dialects.shared.errors import openai_error
from dragoman.dialects.shared.structured_output import text_fault
from dragoman.dialects.shared.usage import counts_of

_encode = msgspec.json.Encoder().encode


class ResponseStream:
    """The `StreamEncoder` of one response.

    Args:
        request: What was asked for.
        identity: What names the answer.
        clock: Seconds since 1970.

    Attributes:
        failure: What ended the stream instead of an answer: the caller's own error, or an answer that does not fit
            `text.format`, which shows only here.
        response: The response object, once it is whole.
    """

    heartbeat = sse.HEARTBEAT
    separate = True

    def __init__(self, request: ResponsesRequest, identity: ResponseIdentity, clock: Callable[[], float]) -> None:
        self._request = request
        self._clock = clock
        self._envelope = Envelope(request, identity)
        self._output = Output(request, answer_id("", identity))
        self._usage: dict[str, object] = {}
        self._ending = Ending()
        self._text: list[str] = []
        self._calls = False
        self._number = 0
        self._ended = False
        self._queued = False
        self.failure: GatewayError | None = None
        self.response: JSONObject | None = None

    def queue(self) -> bytes:
        """Tell that the response waits for its turn, before anything else is told."""
        self._queued = True
        kinds = ("response.created", "response.queued")
        return self._framed({"type": kind, "response": self._envelope.begun("queued")} for kind in kinds)

    def cancel(self) -> bytes:
        """Close what is open, and end the stream of a response that nobody wants any more."""
        self._ended = True
        begin = () if self._number else self._begin()
        return self._framed(chain(begin, self._output.close("incomplete"), self._cancelled()))

    def feed(self, event: MessageEvent, choice: int = 0) -> bytes:  # noqa: ARG002 - there is one
        """Encode one event. A structured answer that does not fit its format ends as an error."""
        if self._ended:
            return b""
        try:
            return self._framed(self._events(event))
        except UpstreamFailed as error:
            return self.fail(error)

    def finish(self) -> bytes:
        """Nothing: `response.completed` was the end. OpenAI sends no end mark here."""
        self._ended = True
        return b""

    def fail(self, error: GatewayError) -> bytes:
        """Close what is open, tell that the response failed, and say the error as OpenAI's clients raise on it."""
        self._ended = True
        self.failure = error
        begin = () if self._number else self._begin()
        return self._framed(chain(begin, self._output.close("incomplete"), self._failed(error)))

    def _events(self, event: MessageEvent) -> Iterable[JSONObject]:
        match event:
            case BlockDelta():
                return self._delta(cast("JSONObject", event.raw["delta"]))
            case BlockStart(raw=raw):
                return self._start(cast("Block", raw["content_block"]))
            case BlockStop():
                return self._output.stop()
            case MessageStart(raw=raw):
                self._count(cast("JSONObject", raw["message"]).get("usage"))
                return self._begin()
            case MessageDelta(raw=raw):
                self._count(raw.get("usage"))
                return self._end(cast("JSONObject", raw.get("delta") or {}))
            case MessageStop():
                return self._complete()

    def _begin(self) -> Events:
        created = () if self._queued else ("response.created",)
        for kind in (*created, "response.in_progress"):
            yield {"type": kind, "response": self._envelope.begun()}

    def _start(self, block: Block) -> Events:
        self._calls = self._calls or block.get("type") == "tool_use"
        if block.get("type") == "text":
            self._text.append(str(block.get("text") or ""))
        return self._output.start(block)

    def _delta(self, delta: JSONObject) -> Events:
        if self._request.answer_format and delta["type"] == "text_delta":
            self._text.append(cast("str", delta["text"]))
        return self._output.delta(delta)

    def _end(self, delta: JSONObject) -> Events:
        stop_reason = delta.get("stop_reason")
        self._ending = Ending.of(stop_reason)
        if not self._calls and (fault := text_fault("".join(self._text), stop_reason, self._request.answer_format)):
            raise fault
        if why := refusal_of(delta):
            yield from self._output.refuse(why)
        yield from self._output.close(self._ending.last_item)

    def _complete(self) -> Events:
        self._ended = True
        counts = counts_of([self._usage])
        self.response = self._envelope.ended(self._ending, self._output.items, counts, int(self._clock()))
        yield {"type": f"response.{self._ending.status}", "response": self.response}

    def _cancelled(self) -> Events:
        # There is no event of its own for this; what the response says is what counts.
        yield {"type": "response.incomplete", "response": self._envelope.cancelled(self._output.items)}

    def _failed(self, error: GatewayError) -> Events:
        response = self._envelope.failed(self._output.items, error)
        yield {"type": "response.failed", "response": response}
        said = openai_error(error)
        # OpenAI says it at the top; its own clients raise on `error`, and Open Responses wants it there.
        top = {key: said[key] for key in ("code", "message", "param")}
        yield {"type": "error", **top, "error": said}

    def _framed(self, events: Iterable[JSONObject]) -> bytes:
        return b"".join(map(self._frame, events))

    def _frame(self, event: JSONObject) -> bytes:
        number, self._number = self._number, self._number + 1
        return sse.event(_encode({**event, "sequence_number": number}), str(event["type"]))

    def _count(self, usage: object) -> None:
        if isinstance(usage, Mapping):
            self._usage.update({key: value for key, value in usage.items() if value is not None})
