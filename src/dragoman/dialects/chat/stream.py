"""A streamed answer as chat completion chunks.

This is the hot path: what is the same in every chunk of a choice is encoded once, and only the delta each time.
"""

from collections.abc import Mapping
from typing import cast

import msgspec

from dragoman.core.errors import GatewayError, UpstreamFailed
from dragoman.core.events import BlockDelta, BlockStart, BlockStop, MessageDelta, MessageEvent, MessageStart
from dragoman.core.messages import Block, JSONObject
from dragoman.dialects.base import ResponseIdentity
from dragoman.dialects.chat.messages import detail
from dragoman.dialects.chat.request import ChatRequest
from dragoman.dialects.chat.response import ID, annotations, finish_reason
from dragoman.dialects.shared import sse
from dragoman.dialects.shared.answers import answer_id, arguments_text, fingerprint, refusal_of
from dragoman.dialects.shared.errors import openai_error
from dragoman.dialects.shared.structured_output import text_fault
from dragoman.dialects.shared.usage import usage_of

_encode = msgspec.json.Encoder().encode


class ChatStream:
    """The `StreamEncoder` of one chat completion.

    Attributes:
        failure: What ended the stream instead of an answer: the caller's own error, or an answer that does not fit
            `response_format`, which shows only here.
    """

    heartbeat = sse.HEARTBEAT
    separate = False

    def __init__(self, request: ChatRequest, identity: ResponseIdentity) -> None:
        model = request.resolved.model.id
        head: JSONObject = {
            "id": answer_id(ID, identity),
            "object": "chat.completion.chunk",
            "created": identity.created,
            "model": model,
            "system_fingerprint": fingerprint(model),
        }
        self._head = b"data: " + _encode(head)[:-1]
        self._include_usage = request.include_usage
        tail = b',"usage":null}\n\n' if request.include_usage else b"}\n\n"
        self._choices = [_Choice(request, self._head, tail, index) for index in range(request.choices)]
        self._ended = False
        self.failure: GatewayError | None = None

    def feed(self, event: MessageEvent, choice: int = 0) -> bytes:
        """Encode one event of one choice. A structured answer that does not fit its format ends as an error."""
        if self._ended:
            return b""
        try:
            return self._choices[choice].feed(event)
        except UpstreamFailed as error:
            return self.fail(error)

    def finish(self) -> bytes:
        """The usage, if it was asked for, and the end."""
        if self._ended:
            return b""
        self._ended = True
        if not self._include_usage:
            return sse.DONE
        usage = _encode(usage_of(choice.usage for choice in self._choices))
        return self._head + b',"choices":[],"usage":' + usage + b"}\n\n" + sse.DONE

    def fail(self, error: GatewayError) -> bytes:
        """The error, as OpenAI's clients raise on it. No end mark follows: the answer is not whole."""
        self._ended = True
        self.failure = error
        return sse.event(_encode({"error": openai_error(error)}))


class _Choice:
    """One choice: its envelope, and what it must remember between events.

    Attributes:
        usage: The API's figures so far.
    """

    def __init__(self, request: ChatRequest, head: bytes, tail: bytes, index: int) -> None:
        self._request = request
        self._open = head + b',"choices":[{"index":%d,"delta":' % index
        self._close = b',"logprobs":null,"finish_reason":null}]' + tail
        self._finish = b',"logprobs":null,"finish_reason":"%s"}]' + tail
        self.usage: dict[str, object] = {}
        self._length = 0
        self._text: list[str] | None = [] if request.answer_format else None
        self._block: Block = {}
        self._parts: list[str] = []
        self._details = 0
        self._cited = 0
        self._calls = 0
        self._written = False

    def feed(self, event: MessageEvent) -> bytes:
        match event:
            case BlockDelta():
                return self._delta(cast("JSONObject", event.raw["delta"]))
            case BlockStart(raw=raw):
                return self._start(cast("Block", raw["content_block"]))
            case BlockStop():
                return self._stop()
            case MessageStart(raw=raw):
                message = cast("JSONObject", raw["message"])
                self._count(message.get("usage"))
                return self._chunk(b'{"role":"assistant","content":null}')
            case MessageDelta(raw=raw):
                return self._end(raw)
            case _:
                return b""

    def _chunk(self, delta: bytes) -> bytes:
        return self._open + delta + self._close

    def _delta(self, delta: JSONObject) -> bytes:
        kind = delta["type"]
        if kind == "text_delta":
            return self._say(cast("str", delta["text"]))
        if kind == "input_json_delta":
            return self._argue(cast("str", delta["partial_json"]))
        if kind == "thinking_delta":
            text = cast("str", delta["thinking"])
            self._parts.append(text)
            return self._chunk(b'{"reasoning_content":' + _encode(text) + b"}") if text else b""
        if kind == "signature_delta":
            self._block["signature"] = f"{self._block.get('signature') or ''}{delta['signature']}"
        elif kind == "citations_delta":
            cited = self._block.get("citations")
            self._block["citations"] = [*(cited if isinstance(cited, list) else ()), delta["citation"]]
        return b""

    def _start(self, block: Block) -> bytes:
        self._block = dict(block)
        self._parts = []
        self._written = False
        kind = block.get("type")
        if kind == "tool_use":
            return self._call(block)
        if kind == "text":
            return self._say(cast("str", block.get("text") or ""))
        if kind == "thinking" and (text := cast("str", block.get("thinking") or "")):
            return self._delta({"type": "thinking_delta", "thinking": text})
        return b""

    def _say(self, text: str) -> bytes:
        if not text:
            return b""
        self._parts.append(text)
        if self._text is not None:
            self._text.append(text)
        return self._chunk(b'{"content":' + _encode(text) + b"}")

    def _call(self, block: Block) -> bytes:
        function: JSONObject = {"name": block.get("name"), "arguments": ""}
        self._calls += 1
        if not self._request.legacy_functions:
            call: JSONObject = {"index": self._calls - 1, "id": block.get("id"), "type": "function"}
            return self._chunk(_encode({"tool_calls": [{**call, "function": function}]}))
        return self._chunk(_encode({"function_call": function})) if self._calls == 1 else b""

    def _argue(self, text: str) -> bytes:
        if not text or self._block.get("type") != "tool_use":
            return b""
        self._written = True
        if not self._request.legacy_functions:
            index = self._calls - 1
            return self._chunk(b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (index, _encode(text)))
        return self._chunk(b'{"function_call":{"arguments":' + _encode(text) + b"}}") if self._calls == 1 else b""

    def _stop(self) -> bytes:
        block = self._block
        kind = block.get("type")
        if kind == "text":
            return self._cite(block)
        if kind == "tool_use":
            return b"" if self._written else self._argue(arguments_text(block, None))
        if kind == "thinking":
            block["thinking"] = "".join(self._parts)
        if entry := detail(block, self._details):
            self._details += 1
            return self._chunk(_encode({"reasoning_details": [entry]}))
        return b""

    def _cite(self, block: Block) -> bytes:
        block["text"] = text = "".join(self._parts)
        start = self._length
        self._length += len(text)
        cited = [
            # OpenAI's own client puts lists together by `index`, and fails without one.
            {"index": self._cited + place, **cast("JSONObject", note)}
            for place, note in enumerate(annotations(block, start))
        ]
        self._cited += len(cited)
        return self._chunk(_encode({"annotations": cited})) if cited else b""

    def _end(self, raw: JSONObject) -> bytes:
        self._count(raw.get("usage"))
        delta = cast("JSONObject", raw.get("delta") or {})
        stop_reason = delta.get("stop_reason")
        if self._text is not None and not self._calls:
            fault = text_fault("".join(self._text), stop_reason, self._request.answer_format)
            if fault:
                raise fault
        refusal = refusal_of(delta)
        said = self._chunk(_encode({"refusal": refusal})) if refusal else b""
        reason = finish_reason(stop_reason, legacy=self._request.legacy_functions)
        return said + self._open + b"{}" + self._finish % reason.encode()

    def _count(self, usage: object) -> None:
        if isinstance(usage, Mapping):
            self.usage.update({key: value for key, value in usage.items() if value is not None})
