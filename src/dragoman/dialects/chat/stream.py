"""Streamed chat completions.

This is the hot path: what is the same in every chunk of a choice is encoded once, and only the delta each time.
"""

from dataclasses import dataclass
from typing import cast

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.errors import GatewayError
from dragoman.core.messages import Block, JSONObject
from dragoman.dialects.base import ResponseIdentity, StreamEncoder
from dragoman.dialects.chat.messages import reasoning_detail
from dragoman.dialects.chat.request import ChatRequest
from dragoman.dialects.chat.response import annotations, chat_finish_reason, common_fields
from dragoman.dialects.shared import sse
from dragoman.dialects.shared.errors import openai_error
from dragoman.dialects.shared.response_parts import refusal_text
from dragoman.dialects.shared.structured_output import format_mismatch
from dragoman.dialects.shared.usage import completion_usage

_encode = sse.encode_json


@dataclass(slots=True)
class _Choice:
    """What one choice must remember between events.

    Attributes:
        head: A chunk up to its delta.
        text_head: A chunk up to its text.
        calls: The number of tool calls so far.
        details: The number of `reasoning_details` so far.
        citations: The number of annotations so far.
        length: The characters of text in the finished blocks.
    """

    head: bytes
    text_head: bytes
    calls: int = 0
    details: int = 0
    citations: int = 0
    length: int = 0


class ChatStream(StreamEncoder):
    """The `StreamEncoder` of one chat completion."""

    def __init__(self, request: ChatRequest, identity: ResponseIdentity) -> None:
        super().__init__(request.choices)
        self._request = request
        self._head = b"data: " + _encode(common_fields(request, identity, "chat.completion.chunk"))[:-1]
        self._tail = b',"usage":null}\n\n' if request.include_usage else b"}\n\n"
        self._delta_tail = b',"logprobs":null,"finish_reason":null}]' + self._tail
        self._text_tail = b"}" + self._delta_tail
        heads = [self._head + b',"choices":[{"index":%d,"delta":' % index for index in range(request.choices)]
        self._choices = [_Choice(head, head + b'{"content":') for head in heads]

    def on_message_start(self, choice: int, message: JSONObject) -> bytes:  # noqa: ARG002 - the role is always the same
        """Encode the role."""
        return self._chunk(choice, b'{"role":"assistant","content":null}')

    def on_block_start(self, choice: int, block: Block) -> bytes:
        """Encode the id and the name of a tool call."""
        if block.get("type") != "tool_use":
            return b""
        state = self._choices[choice]
        state.calls += 1
        function: JSONObject = {"name": block.get("name"), "arguments": ""}
        if not self._request.legacy_functions:
            call: JSONObject = {"index": state.calls - 1, "id": block.get("id"), "type": "function"}
            return self._chunk(choice, _encode({"tool_calls": [{**call, "function": function}]}))
        return self._chunk(choice, _encode({"function_call": function})) if state.calls == 1 else b""

    def on_text(self, choice: int, text: str) -> bytes:
        """Encode a piece of text."""
        return self._choices[choice].text_head + _encode(text) + self._text_tail

    def on_thinking(self, choice: int, text: str) -> bytes:
        """Encode a piece of thinking."""
        return self._choices[choice].head + b'{"reasoning_content":' + _encode(text) + b"}" + self._delta_tail

    def on_arguments(self, choice: int, json_text: str) -> bytes:
        """Encode a piece of a call's arguments. Of legacy function calls, only the first has a field."""
        if self._open_types[choice] != "tool_use":
            return b""
        state, arguments = self._choices[choice], _encode(json_text)
        if not self._request.legacy_functions:
            delta = b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (state.calls - 1, arguments)
            return state.head + delta + self._delta_tail
        return self._chunk(choice, b'{"function_call":{"arguments":' + arguments + b"}}") if state.calls == 1 else b""

    def on_block_stop(self, choice: int, block: Block) -> bytes:
        """Encode the citations of a text, or the details of thinking: they are complete only now."""
        state = self._choices[choice]
        if block.get("type") == "text":
            start = state.length
            state.length += len(cast("str", block.get("text") or ""))
            cited = [
                # OpenAI's own client joins lists by `index`, and fails without one.
                {"index": state.citations + index, **cast("JSONObject", annotation)}
                for index, annotation in enumerate(annotations(block, start))
            ]
            state.citations += len(cited)
            return self._chunk(choice, _encode({"annotations": cited})) if cited else b""
        if entry := reasoning_detail(block, state.details):
            state.details += 1
            return self._chunk(choice, _encode({"reasoning_details": [entry]}))
        return b""

    def on_message_end(self, choice: int, accumulated: AccumulatedMessage) -> bytes:
        """Encode a refusal, and the finish reason.

        Raises:
            UpstreamFailed: The text does not match `response_format`.
        """
        if error := format_mismatch(accumulated, self._request.output_format):
            raise error
        refusal = refusal_text(accumulated.message)
        refused = self._chunk(choice, _encode({"refusal": refusal})) if refusal else b""
        reason = chat_finish_reason(self._request, accumulated).encode()
        end = b'{},"logprobs":null,"finish_reason":"' + reason + b'"}]' + self._tail
        return refused + self._choices[choice].head + end

    def on_finish(self) -> bytes:
        """Encode the usage, if the client asked for it, and the end mark."""
        if not self._request.include_usage:
            return sse.DONE
        return self._head + b',"choices":[],"usage":' + _encode(completion_usage(self._usage)) + b"}\n\n" + sse.DONE

    def on_error(self, error: GatewayError) -> bytes:
        """Encode the error as OpenAI's clients raise on it. No end mark follows: the response is not complete."""
        return sse.event(_encode({"error": openai_error(error)}))

    def _chunk(self, choice: int, delta: bytes) -> bytes:
        return self._choices[choice].head + delta + self._delta_tail
