"""The responses dialect, as the gateway uses it.

Requests that are read like one for a response, and answered otherwise: counted, or summed up.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import msgspec

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.catalog import Catalog
from dragoman.core.errors import GatewayError, InvalidRequest
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import NO_HEADERS, DialectOptions, ErrorResponse, Headers, ResponseIdentity
from dragoman.dialects.responses import request as decode
from dragoman.dialects.responses import response
from dragoman.dialects.responses.continuation import History, going_on
from dragoman.dialects.responses.input import normal
from dragoman.dialects.responses.request import ResponsesRequest
from dragoman.dialects.responses.response import usage_of
from dragoman.dialects.responses.stored import PREFIX, StoredResponses, resources
from dragoman.dialects.responses.stream import ResponseStream
from dragoman.dialects.shared import validation
from dragoman.dialects.shared.answers import answer_id
from dragoman.dialects.shared.errors import openai_error_response
from dragoman.dialects.shared.usage import counts_of


class ResponsesDialect:
    """The `Dialect` of `/v1/responses`.

    Args:
        catalog: What gives the models: the list may change while the gateway runs.
        options: The operator's choices.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        catalog: Callable[[], Catalog],
        options: DialectOptions | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._catalog = catalog
        self._options = options or DialectOptions()
        self._clock = clock
        self.stored_format = StoredResponses(self._options.cipher)

    def decode(self, raw: bytes, headers: Headers = NO_HEADERS) -> ResponsesRequest:  # noqa: ARG002 - all is in the body
        """Understand a request body.

        Raises:
            InvalidRequest: With the field's name in `param`.
            NotFound: The model does not exist.
        """
        return decode.decode(raw, self._catalog(), self._options)

    def decode_continuation(self, raw: bytes, past: History) -> ResponsesRequest:
        """Understand a request that goes on from a kept response; the rest as `decode`.

        Args:
            raw: Its body.
            past: What was said before.
        """
        return decode.decode(raw, self._catalog(), self._options, past)

    def response_warnings(
        self, request: ResponsesRequest, answers: Sequence[AccumulatedMessage]
    ) -> tuple[RequestWarning, ...]:
        """What a whole answer is to be warned of: tool arguments that do not fit the client's schemas."""
        return response.response_warnings(request, answers[0])

    def invalid_choices(
        self, request: ResponsesRequest, answers: Sequence[AccumulatedMessage]
    ) -> Mapping[int, GatewayError]:
        """`schema_mismatch`, where the text is not what `text.format` asks for."""
        fault = response.fault(request, answers[0])
        return {0: fault} if fault else {}

    def encode(
        self, request: ResponsesRequest, identity: ResponseIdentity, answers: Sequence[AccumulatedMessage]
    ) -> bytes:
        """Encode the whole answer."""
        now = int(self._clock())
        return msgspec.json.encode(response.response(request, identity, answers[0], now))

    def encode_stream(self, request: ResponsesRequest, identity: ResponseIdentity) -> ResponseStream:
        """Make the encoder of one streamed answer."""
        return ResponseStream(request, identity, self._clock)

    def encode_error(self, error: GatewayError) -> ErrorResponse:
        """Encode an error that ends the request before an answer began."""
        return openai_error_response(error)


_NOT_KEPT: JSONObject = {"store": False, "background": None, "stream": None}
_RULES = frozenset({"system", "developer"})
_SUM_UP = (
    "Sum up this conversation, so that it can be gone on with from your summary alone: nobody will be able to look at "
    "the messages again. Keep what was asked for, what was decided and why, what was done and how it turned out, "
    "names, figures, paths and code that still matter, and what is to be done next. If the last message has not been "
    "answered yet, repeat it in full. Write nothing but the summary."
)


class InputTokensDialect(ResponsesDialect):
    """The codec of `/v1/responses/input_tokens`: the prompt counts, and nothing is answered."""

    def decode(self, raw: bytes, headers: Headers = NO_HEADERS) -> ResponsesRequest:  # noqa: ARG002 - all is in the body
        """See `OpenAIResponses.decode`."""
        return self._read(raw, None)

    def decode_continuation(self, raw: bytes, past: History) -> ResponsesRequest:
        """See `OpenAIResponses.decode_continuation`."""
        return self._read(raw, past)

    def encode_count(self, tokens: JSON) -> bytes:
        """The answer."""
        return msgspec.json.encode({"object": "response.input_tokens", "input_tokens": tokens})

    def _read(self, raw: bytes, past: History | None) -> ResponsesRequest:
        sent = {"input": [], **_object(raw), **_NOT_KEPT}
        return decode.read(going_on(sent, past), self._catalog(), self._options, past)


class CompactDialect(ResponsesDialect):
    """The codec of `/v1/responses/compact`: Claude sums the conversation up; the client carries the summary, sealed.

    Instructions that stand in the conversation are not summed up but stay as they are.
    """

    def decode(self, raw: bytes, headers: Headers = NO_HEADERS) -> ResponsesRequest:  # noqa: ARG002 - all is in the body
        """See `OpenAIResponses.decode`."""
        return self._read(raw, None)

    def decode_continuation(self, raw: bytes, past: History) -> ResponsesRequest:
        """See `OpenAIResponses.decode_continuation`."""
        return self._read(raw, past)

    def encode(
        self, request: ResponsesRequest, identity: ResponseIdentity, answers: Sequence[AccumulatedMessage]
    ) -> bytes:
        """The compacted conversation.

        Raises:
            InvalidRequest: Claude wrote no summary.
        """
        message = answers[0].message
        blocks = [block for block in message.get("content", []) if block.get("type") == "text"]
        summary = "".join(str(block.get("text") or "") for block in blocks)
        if not summary.strip() or self._options.cipher is None:
            raise InvalidRequest("Claude did not sum this conversation up.", code="not_compacted", param="input")
        digits = answer_id("", identity)
        stands: JSONObject = {
            "id": f"cmp_{digits}",
            "type": "compaction",
            "encrypted_content": self._options.cipher.summary(summary),
        }
        body: JSONObject = {
            "id": answer_id(PREFIX, identity),
            "object": "response.compaction",
            "created_at": identity.created,
            "output": [*_rules(request, digits), stands],
            "usage": usage_of(counts_of([message.get("usage", {})])),
        }
        return msgspec.json.encode(body)

    def _read(self, raw: bytes, past: History | None) -> ResponsesRequest:
        sent = cast("JSONObject", normal(_object(raw)))
        given = resources(sent.get("input") or [], "0")
        last: JSONObject = {"type": "message", "role": "user", "content": _SUM_UP}
        asked = going_on({**sent, **_NOT_KEPT, "input": [*given, last]}, past)
        return decode.read({**cast("JSONObject", asked), "tools": None}, self._catalog(), self._options, past)


def _rules(request: ResponsesRequest, digits: str) -> list[JSONObject]:
    items = [*(item for turn in request.past for item in turn.items), *resources(request.items, digits)]
    return [item for item in items if item["type"] == "message" and item["role"] in _RULES]


def _object(raw: bytes) -> JSONObject:
    sent = validation.parse(raw)
    if not isinstance(sent, dict):
        raise InvalidRequest("The request body must be a JSON object.", code="invalid_type")
    return sent
