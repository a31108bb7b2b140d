"""A streamed answer as text completion chunks."""

from collections.abc import Mapping
from typing import cast

import msgspec

from dragoman.core.errors import GatewayError
from dragoman.core.events import BlockDelta, BlockStart, MessageDelta, MessageEvent, MessageStart
from dragoman.core.messages import JSONObject
from dragoman.dialects.base import ResponseIdentity
from dragoman.dialects.completions.request import CompletionRequest
from dragoman.dialects.completions.response import head
from dragoman.dialects.shared import sse
from dragoman.dialects.shared.answers import finish_reason
from dragoman.dialects.shared.errors import openai_error
from dragoman.dialects.shared.usage import usage_of

_encode = msgspec.json.Encoder().encode


class CompletionStream:
    """The `StreamEncoder` of one text completion.

    Attributes:
        failure: What ended the stream instead of an answer.
    """

    heartbeat = sse.HEARTBEAT
    separate = False

    def __init__(self, request: CompletionRequest, identity: ResponseIdentity) -> None:
        self._request = request
        self._head = b"data: " + _encode(head(request, identity))[:-1]
        self._tail = b',"usage":null}\n\n' if request.include_usage else b"}\n\n"
        self._usage: list[dict[str, object]] = [{} for _ in range(request.choices)]
        self._ended = False
        self.failure: GatewayError | None = None

    def feed(self, event: MessageEvent, choice: int = 0) -> bytes:
        """Encode one event of one choice; only text is anything here."""
        if self._ended:
            return b""
        match event:
            case BlockDelta():
                delta = cast("JSONObject", event.raw["delta"])
                return self._say(delta["text"], choice) if delta["type"] == "text_delta" else b""
            case BlockStart(raw=raw):
                block = cast("JSONObject", raw["content_block"])
                return self._say(block.get("text"), choice) if block.get("type") == "text" else b""
            case MessageStart(raw=raw):
                self._count(cast("JSONObject", raw["message"]).get("usage"), choice)
                return self._say(self._request.opening(choice), choice)
            case MessageDelta(raw=raw):
                self._count(raw.get("usage"), choice)
                reason = finish_reason(cast("JSONObject", raw.get("delta") or {}).get("stop_reason"))
                return self._chunk("", choice, reason)
            case _:
                return b""

    def finish(self) -> bytes:
        """The usage, if it was asked for, and the end."""
        if self._ended:
            return b""
        self._ended = True
        if not self._request.include_usage:
            return sse.DONE
        return self._head + b',"choices":[],"usage":' + _encode(usage_of(self._usage)) + b"}\n\n" + sse.DONE

    def fail(self, error: GatewayError) -> bytes:
        """The error, as OpenAI's clients raise on it. No end mark follows: the answer is not whole."""
        self._ended = True
        self.failure = error
        return sse.event(_encode({"error": openai_error(error)}))

    def _say(self, text: object, choice: int) -> bytes:
        return self._chunk(text, choice, None) if text else b""

    def _chunk(self, text: object, choice: int, reason: str | None) -> bytes:
        made = _encode({"text": text, "index": choice, "logprobs": None, "finish_reason": reason})
        return self._head + b',"choices":[' + made + b"]" + self._tail

    def _count(self, usage: object, choice: int) -> None:
        if isinstance(usage, Mapping):
            self._usage[choice].update({key: value for key, value in usage.items() if value is not None})
