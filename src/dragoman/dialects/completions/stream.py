"""Streamed text completions."""

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.errors import GatewayError
from dragoman.core.messages import JSONObject
from dragoman.dialects.base import ResponseIdentity, StreamEncoder
from dragoman.dialects.completions.request import CompletionRequest
from dragoman.dialects.completions.response import common_fields
from dragoman.dialects.shared import sse
from dragoman.dialects.shared.errors import openai_error
from dragoman.dialects.shared.response_parts import finish_reason
from dragoman.dialects.shared.usage import completion_usage

_encode = sse.encode_json


class CompletionStream(StreamEncoder):
    """The `StreamEncoder` of one text completion. Only text has a place in it."""

    def __init__(self, request: CompletionRequest, identity: ResponseIdentity) -> None:
        super().__init__(request.choices)
        self._request = request
        self._head = b"data: " + _encode(common_fields(request, identity))[:-1]
        self._tail = b',"usage":null}\n\n' if request.include_usage else b"}\n\n"

    def on_message_start(self, choice: int, message: JSONObject) -> bytes:  # noqa: ARG002 - only its start counts
        """Encode the prompt, if the client wants it echoed."""
        prompt = self._request.echoed_prompt(choice)
        return self.on_text(choice, prompt) if prompt else b""

    def on_text(self, choice: int, text: str) -> bytes:
        """Encode a piece of text."""
        chunk = _encode({"text": text, "index": choice, "logprobs": None, "finish_reason": None})
        return self._head + b',"choices":[' + chunk + b"]" + self._tail

    def on_message_end(self, choice: int, accumulated: AccumulatedMessage) -> bytes:
        """Encode the finish reason."""
        reason = finish_reason(accumulated.message.get("stop_reason"))
        chunk = _encode({"text": "", "index": choice, "logprobs": None, "finish_reason": reason})
        return self._head + b',"choices":[' + chunk + b"]" + self._tail

    def on_finish(self) -> bytes:
        """Encode the usage, if the client asked for it, and the end mark."""
        if not self._request.include_usage:
            return sse.DONE
        return self._head + b',"choices":[],"usage":' + _encode(completion_usage(self._usage)) + b"}\n\n" + sse.DONE

    def on_error(self, error: GatewayError) -> bytes:
        """Encode the error as OpenAI's clients raise on it. No end mark follows: the response is not complete."""
        return sse.event(_encode({"error": openai_error(error)}))
