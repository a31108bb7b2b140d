"""The dialects of `/v1/responses`, `/v1/responses/input_tokens` and `/v1/responses/compact`."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Self, cast

import msgspec

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.catalog import Catalog
from dragoman.core.errors import GatewayError, InvalidRequest
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import NO_HEADERS, DialectOptions, ErrorResponse, Headers, ResponseIdentity
from dragoman.dialects.responses.continuation import History, inherit_fields
from dragoman.dialects.responses.input import normalize
from dragoman.dialects.responses.input_items import listed_items
from dragoman.dialects.responses.request import ResponsesRequest, decode, decode_data
from dragoman.dialects.responses.response import (
    RESPONSE_ID_PREFIX,
    argument_warnings,
    encode_response,
    usage_object,
)
from dragoman.dialects.responses.stored import StoredResponses
from dragoman.dialects.responses.stream import ResponseStream
from dragoman.dialects.shared.errors import openai_error_response
from dragoman.dialects.shared.response_parts import response_id
from dragoman.dialects.shared.structured_output import format_mismatch
from dragoman.dialects.shared.validation import parse_json

_NOT_STORED: JSONObject = {"store": False, "background": None, "stream": None}
_INSTRUCTION_ROLES = frozenset({"system", "developer"})
_SUMMARIZE = (
    "Summarize this conversation so that it can be continued from your summary alone: the messages will not be "
    "available any more. Include the requests, the decisions and the reasons for them, the work done and its results, "
    "the names, figures, paths and code that still matter, and the next steps. If the last message has not been "
    "answered yet, repeat it in full. Write only the summary."
)


class ResponsesDialect:
    """The `Dialect` of `/v1/responses`.

    Args:
        catalog: Returns the models: the list may change while the gateway runs.
        options: The operator's settings.
        clock: Seconds since 1970.

    Attributes:
        stored_format: The format of stored responses.
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

    def for_client(self, client: str) -> Self:
        """Return the dialect for requests of one client, which can decrypt only what was encrypted for it.

        Args:
            client: The name of the client.
        """
        cipher = self._options.cipher
        if cipher is None:
            return self
        return type(self)(self._catalog, replace(self._options, cipher=cipher.for_client(client)), self._clock)

    def decode(self, raw: bytes, headers: Headers = NO_HEADERS) -> ResponsesRequest:  # noqa: ARG002 - reads the body only
        """Decode a request body.

        Raises:
            InvalidRequest: With the field's name in `param`.
            NotFound: The model does not exist.
        """
        return self._decode(raw, None)

    def decode_continuation(self, raw: bytes, history: History) -> ResponsesRequest:
        """Decode a request that continues a stored response.

        Args:
            raw: The body.
            history: The stored conversation.

        Raises:
            InvalidRequest: With the field's name in `param`.
            NotFound: The model does not exist.
        """
        return self._decode(raw, history)

    def _decode(self, raw: bytes, history: History | None) -> ResponsesRequest:
        return decode(raw, self._catalog(), self._options, history)

    def response_warnings(
        self, request: ResponsesRequest, answers: Sequence[AccumulatedMessage]
    ) -> tuple[RequestWarning, ...]:
        """Return warnings of function arguments that do not fit the client's schemas."""
        return argument_warnings(request, answers[0])

    def invalid_choices(
        self, request: ResponsesRequest, answers: Sequence[AccumulatedMessage]
    ) -> Mapping[int, GatewayError]:
        """Return `schema_mismatch` if the text does not fit `text.format`."""
        error = format_mismatch(answers[0], request.output_format)
        return {0: error} if error else {}

    def encode(
        self, request: ResponsesRequest, identity: ResponseIdentity, answers: Sequence[AccumulatedMessage]
    ) -> bytes:
        """Encode the plain response."""
        return encode_response(request, identity, answers[0], int(self._clock()))

    def encode_stream(self, request: ResponsesRequest, identity: ResponseIdentity) -> ResponseStream:
        """Return the encoder of one streamed response."""
        return ResponseStream(request, identity, self._clock)

    def encode_error(self, error: GatewayError) -> ErrorResponse:
        """Encode an error that ends the request before the response begins."""
        return openai_error_response(error)


class InputTokensDialect(ResponsesDialect):
    """The dialect of `/v1/responses/input_tokens`: the prompt is counted, and no response is generated."""

    def encode_count(self, tokens: JSON) -> bytes:
        """Encode the number of input tokens."""
        return msgspec.json.encode({"object": "response.input_tokens", "input_tokens": tokens})

    def _decode(self, raw: bytes, history: History | None) -> ResponsesRequest:
        data = inherit_fields({"input": [], **_parse_object(raw), **_NOT_STORED}, history)
        return decode_data(data, self._catalog(), self._options, history)


class CompactDialect(ResponsesDialect):
    """The dialect of `/v1/responses/compact`: Claude summarizes the conversation; the client gets it encrypted.

    Instructions in the conversation are not summarized. They are returned unchanged.
    """

    def encode(
        self, request: ResponsesRequest, identity: ResponseIdentity, answers: Sequence[AccumulatedMessage]
    ) -> bytes:
        """Encode the compacted conversation.

        Raises:
            InvalidRequest: Claude wrote no summary, or the gateway has no key to encrypt it.
        """
        blocks = answers[0].message.get("content", [])
        summary = "".join(str(block.get("text") or "") for block in blocks if block.get("type") == "text")
        if not summary.strip() or request.encrypt_summary is None:
            detail = "Claude did not summarize this conversation. Send it again, or shorten it yourself."
            raise InvalidRequest(detail, code="not_compacted", param="input")
        id_digits = response_id("", identity)
        compaction: JSONObject = {
            "id": f"cmp_{id_digits}",
            "type": "compaction",
            "encrypted_content": request.encrypt_summary(summary),
        }
        body: JSONObject = {
            "id": response_id(RESPONSE_ID_PREFIX, identity),
            "object": "response.compaction",
            "created_at": identity.created,
            "output": [*_instructions(request, id_digits), compaction],
            "usage": usage_object(answers[0]),
        }
        return msgspec.json.encode(body)

    def _decode(self, raw: bytes, history: History | None) -> ResponsesRequest:
        data = cast("JSONObject", normalize(_parse_object(raw)))
        items = listed_items(data.get("input") or [], "0")
        prompt: JSONObject = {"type": "message", "role": "user", "content": _SUMMARIZE}
        inherited = inherit_fields({**data, **_NOT_STORED, "input": [*items, prompt]}, history)
        summarizing = {**cast("JSONObject", inherited), "tools": None}
        return decode_data(summarizing, self._catalog(), self._options, history)


def _instructions(request: ResponsesRequest, id_digits: str) -> list[JSONObject]:
    earlier = [item for turn in request.history for item in turn.input_items]
    items = [*earlier, *listed_items(request.input_items, id_digits)]
    return [item for item in items if item["type"] == "message" and item["role"] in _INSTRUCTION_ROLES]


def _parse_object(raw: bytes) -> JSONObject:
    data = parse_json(raw)
    if not isinstance(data, dict):
        raise InvalidRequest("The request body must be a JSON object.", code="invalid_type")
    return data
