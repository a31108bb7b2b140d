"""A streamed response as events, in OpenAI's order."""

from collections.abc import Callable, Iterable
from itertools import chain
from typing import cast

import msgspec

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.errors import GatewayError
from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.dialects.base import BackgroundStreamEncoder, ResponseIdentity
from dragoman.dialects.responses.items import Events
from dragoman.dialects.responses.output import Output
from dragoman.dialects.responses.request import ResponsesRequest
from dragoman.dialects.responses.response import Ending, Envelope, fault
from dragoman.dialects.shared import sse
from dragoman.dialects.shared.answers import answer_id, refusal_of
from dragoman.dialects.shared.errors import openai_error
from dragoman.dialects.shared.usage import counts_of

_encode = msgspec.json.Encoder().encode


class ResponseStream(BackgroundStreamEncoder):
    """The `StreamEncoder` of one response.

    Args:
        request: The request.
        identity: What ids are made from.
        clock: Seconds since 1970.
    """

    separate_events = True

    def __init__(self, request: ResponsesRequest, identity: ResponseIdentity, clock: Callable[[], float]) -> None:
        super().__init__()
        self._request = request
        self._clock = clock
        self._envelope = Envelope(request, identity)
        self._output = Output(request, answer_id("", identity))
        self._ending = Ending()
        self._number = 0
        self._queued = False

    def queue(self) -> bytes:
        """Encode that the response waits in the queue."""
        self._queued = True
        kinds = ("response.created", "response.queued")
        return self._framed({"type": kind, "response": self._envelope.begun("queued")} for kind in kinds)

    def on_message_start(self, choice: int, message: JSONObject) -> bytes:  # noqa: ARG002 - only its start counts
        """Encode that the response is in progress."""
        return self._framed(self._begin())

    def on_block_start(self, choice: int, block: Block) -> bytes:  # noqa: ARG002 - there is one choice
        """Begin an item."""
        pieces: JSONObject = {key: "" for key in ("text", "thinking", "signature") if key in block}
        return self._framed(self._output.start({**block, **pieces}))

    def on_text(self, choice: int, text: str) -> bytes:  # noqa: ARG002 - there is one choice
        """Encode a piece of text."""
        return self._framed(self._output.delta({"type": "text_delta", "text": text}))

    def on_thinking(self, choice: int, text: str) -> bytes:  # noqa: ARG002 - there is one choice
        """Encode a piece of a reasoning summary."""
        return self._framed(self._output.delta({"type": "thinking_delta", "thinking": text}))

    def on_arguments(self, choice: int, json_text: str) -> bytes:  # noqa: ARG002 - there is one choice
        """Encode a piece of a call's arguments."""
        return self._framed(self._output.delta({"type": "input_json_delta", "partial_json": json_text}))

    def on_block_stop(self, choice: int, block: Block) -> bytes:  # noqa: ARG002 - there is one choice
        """Encode what is known only at the end of a block."""
        deltas: list[JSONObject] = []
        if signature := block.get("signature"):
            deltas.append({"type": "signature_delta", "signature": signature})
        citations = cast("list[JSON]", block.get("citations") or [])
        deltas += [{"type": "citations_delta", "citation": citation} for citation in citations]
        return self._framed(chain(*map(self._output.delta, deltas), self._output.stop()))

    def on_message_end(self, choice: int, accumulated: AccumulatedMessage) -> bytes:  # noqa: ARG002 - there is one choice
        """Encode a refusal, and close the last item.

        Raises:
            UpstreamFailed: The text does not match `text.format`.
        """
        if error := fault(self._request, accumulated):
            raise error
        self._ending = Ending.of(accumulated.message.get("stop_reason"))
        refusal = refusal_of(accumulated.message)
        return self._framed(
            chain(self._output.refuse(refusal) if refusal else (), self._output.close(self._ending.last_item))
        )

    def on_message_stop(self, choice: int) -> bytes:  # noqa: ARG002 - there is one choice
        """Encode the whole response."""
        counts = counts_of(self._usage)
        response = self._envelope.ended(self._ending, self._output.items, counts, int(self._clock()))
        self.response_body = _encode(response)
        kind = f"response.{self._ending.status}"
        event = {"type": kind, "response": msgspec.Raw(self.response_body), "sequence_number": self._number}
        self._number += 1
        return sse.event(_encode(event), kind)

    def close_open_parts(self) -> bytes:
        """Close the open item; a response that had not begun begins first."""
        begin = () if self._number else self._begin()
        return self._framed(chain(begin, self._output.close("incomplete")))

    def on_error(self, error: GatewayError) -> bytes:
        """Encode that the response failed, and the error as OpenAI's clients raise on it."""
        return self._framed(self._failed(error))

    def on_cancel(self) -> bytes:
        """Encode the cancelled response. OpenAI has no event for this; clients read the status."""
        return self._framed([{"type": "response.incomplete", "response": self._envelope.cancelled(self._output.items)}])

    def _begin(self) -> Events:
        created = () if self._queued else ("response.created",)
        for kind in (*created, "response.in_progress"):
            yield {"type": kind, "response": self._envelope.begun()}

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
