"""The encoder of a streamed response."""

from collections.abc import Callable
from typing import cast

import msgspec

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.errors import GatewayError
from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.dialects.base import BackgroundStreamEncoder, ResponseIdentity
from dragoman.dialects.responses.output import output_of
from dragoman.dialects.responses.request import ResponsesRequest
from dragoman.dialects.responses.response import ResponseObject, unusable_answer
from dragoman.dialects.shared import sse
from dragoman.dialects.shared.response_parts import response_id

_encode = msgspec.json.Encoder().encode


class ResponseStream(BackgroundStreamEncoder):
    """The `StreamEncoder` of one response.

    Args:
        request: The request.
        identity: The response's id and time.
        clock: Seconds since 1970.
    """

    separate_events = True

    def __init__(self, request: ResponsesRequest, identity: ResponseIdentity, clock: Callable[[], float]) -> None:
        super().__init__()
        self._request = request
        self._clock = clock
        self._response = ResponseObject(request, identity)
        self._output = output_of(request, response_id("", identity), self._write)
        self._message: AccumulatedMessage | None = None
        self._frames: list[bytes] = []
        self._sequence_number = 0

    def queue(self) -> bytes:
        """Send that the response is queued."""
        self._write_state("response.created", self._response.pending("queued"))
        self._write_state("response.queued", self._response.pending("queued"))
        return self._flush()

    def on_message_start(self, choice: int, message: JSONObject) -> bytes:  # noqa: ARG002 - there is one choice
        """Send that the response is in progress."""
        self._write_start()
        return self._flush()

    def on_block_start(self, choice: int, block: Block) -> bytes:  # noqa: ARG002 - there is one choice
        """Begin the output item of the block."""
        self._output.start_block(block)
        return self._flush()

    def on_text(self, choice: int, text: str) -> bytes:  # noqa: ARG002 - there is one choice
        """Send a piece of text."""
        self._output.add_text(text)
        return self._flush()

    def on_thinking(self, choice: int, text: str) -> bytes:  # noqa: ARG002 - there is one choice
        """Send a piece of the reasoning summary."""
        self._output.add_thinking(text)
        return self._flush()

    def on_arguments(self, choice: int, json_text: str) -> bytes:  # noqa: ARG002 - there is one choice
        """Send a piece of a call's arguments."""
        self._output.add_arguments(json_text)
        return self._flush()

    def on_block_stop(self, choice: int, block: Block) -> bytes:  # noqa: ARG002 - there is one choice
        """Send what is known only of the complete block."""
        self._output.end_block(block)
        return self._flush()

    def on_message_end(self, choice: int, accumulated: AccumulatedMessage) -> bytes:  # noqa: ARG002 - there is one choice
        """Close the last item.

        Raises:
            UpstreamFailed: The text does not fit `text.format`, or there is no summary.
        """
        if error := unusable_answer(self._request, accumulated):
            raise error
        self._message = accumulated
        self._output.end(accumulated)
        return self._flush()

    def on_message_stop(self, choice: int) -> bytes:  # noqa: ARG002 - there is one choice
        """Send the complete response. No end mark follows, as at OpenAI."""
        if self._message is None:
            return b""
        response = self._response.ended(self._message, self._output.items, int(self._clock()))
        self.response_body = _encode(response)
        encoded = cast("JSON", msgspec.Raw(self.response_body))
        self._write({"type": f"response.{response['status']}", "response": encoded})
        return self._flush()

    def close_open_parts(self) -> bytes:
        """Close the open item as incomplete. A stream without events begins first."""
        if not self._sequence_number:
            self._write_start()
        self._output.break_off()
        return self._flush()

    def on_error(self, error: GatewayError) -> bytes:
        """Send the failed response. It contains the error; no other event ends the stream."""
        response = self._response.failed(self._output.items, error)
        self.response_body = _encode(response)
        self._write_state("response.failed", response)
        return self._flush()

    def on_cancel(self) -> bytes:
        """Send the cancelled response. OpenAI has no event for it; clients read the response's status."""
        self._write_state("response.incomplete", self._response.cancelled(self._output.items))
        return self._flush()

    def _write_start(self) -> None:
        if not self._sequence_number:  # a queued response has been created
            self._write_state("response.created", self._response.pending())
        self._write_state("response.in_progress", self._response.pending())

    def _write_state(self, event_type: str, response: JSONObject) -> None:
        self._write({"type": event_type, "response": response})

    def _write(self, event: JSONObject) -> None:
        """Add an event to those that the next `_flush` returns."""
        event["sequence_number"] = self._sequence_number
        self._sequence_number += 1
        self._frames.append(sse.event(_encode(event), str(event["type"])))

    def _flush(self) -> bytes:
        frames, self._frames = self._frames, []
        return b"".join(frames)
