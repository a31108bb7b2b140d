"""The dialects of `/v1/responses`, `/v1/responses/input_tokens` and `/v1/responses/compact`."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self, cast

import msgspec

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.catalog import Catalog
from dragoman.core.errors import GatewayError, InvalidRequest
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.value_object import replace
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import NO_HEADERS, DialectOptions, ErrorResponse, Headers, ResponseIdentity
from dragoman.dialects.responses.compaction import (
    compaction_item,
    items_before_trigger,
    require_cipher,
    summary_options,
    summary_request,
)
from dragoman.dialects.responses.continuation import History, inherit_fields
from dragoman.dialects.responses.input import normalize
from dragoman.dialects.responses.input_items import listed_items
from dragoman.dialects.responses.references import NO_REFERENCES, ReferencedItem
from dragoman.dialects.responses.request import NO_CONTEXT, ResponsesRequest, StoredContext, decode, decode_data
from dragoman.dialects.responses.response import (
    RESPONSE_ID_PREFIX,
    argument_warnings,
    encode_response,
    unusable_answer,
    usage_object,
)
from dragoman.dialects.responses.stored import StoredResponses
from dragoman.dialects.responses.stream import ResponseStream
from dragoman.dialects.shared.errors import openai_error_response
from dragoman.dialects.shared.response_parts import response_id
from dragoman.dialects.shared.validation import parse_json

_NOT_STORED: JSONObject = {"store": False, "background": None, "stream": None}
_INSTRUCTION_ROLES = frozenset({"system", "developer"})


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
        return self._decode(raw, NO_CONTEXT)

    def decode_continuation(
        self, raw: bytes, history: History | None, references: Mapping[str, ReferencedItem] = NO_REFERENCES
    ) -> ResponsesRequest:
        """Decode a request that continues a stored response, or refers to items of stored responses.

        Args:
            raw: The body.
            history: The stored conversation, if the request continues one.
            references: The items that it refers to, by their ids.

        Raises:
            InvalidRequest: With the field's name in `param`.
            NotFound: The model does not exist.
        """
        return self._decode(raw, StoredContext(history, references))

    def _decode(self, raw: bytes, context: StoredContext) -> ResponsesRequest:
        return decode(raw, self._catalog(), self._options, context)

    def response_warnings(
        self, request: ResponsesRequest, answers: Sequence[AccumulatedMessage]
    ) -> tuple[RequestWarning, ...]:
        """Return warnings of function arguments that do not fit the client's schemas."""
        return argument_warnings(request, answers[0])

    def invalid_choices(
        self, request: ResponsesRequest, answers: Sequence[AccumulatedMessage]
    ) -> Mapping[int, GatewayError]:
        """Return the error of a text that does not fit `text.format`, or of a missing summary."""
        error = unusable_answer(request, answers[0])
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

    def _decode(self, raw: bytes, context: StoredContext) -> ResponsesRequest:
        warnings: list[RequestWarning] = []
        data = inherit_fields({"input": [], **_parse_object(raw, warnings), **_NOT_STORED}, context.history)
        return decode_data(data, self._catalog(), self._options, context, body_warnings=warnings)


class CompactDialect(ResponsesDialect):
    """The dialect of `/v1/responses/compact`: Claude summarizes the conversation; the client gets it encrypted.

    Instructions in the conversation are not summarized. They are returned unchanged.
    """

    def invalid_choices(
        self,
        request: ResponsesRequest,  # noqa: ARG002 - a missing summary is an error of `encode`
        answers: Sequence[AccumulatedMessage],  # noqa: ARG002 - as `request`
    ) -> Mapping[int, GatewayError]:
        """Return nothing: Claude is not asked again for a summary."""
        return {}

    def encode(
        self, request: ResponsesRequest, identity: ResponseIdentity, answers: Sequence[AccumulatedMessage]
    ) -> bytes:
        """Encode the compacted conversation.

        Raises:
            InvalidRequest: Claude wrote no summary, or the gateway has no key to encrypt it.
        """
        id_digits = response_id("", identity)
        compaction = compaction_item(f"cmp_{id_digits}", answers[0], request.encrypt_summary)
        body: JSONObject = {
            "id": response_id(RESPONSE_ID_PREFIX, identity),
            "object": "response.compaction",
            "created_at": identity.created,
            "output": [*_instructions(request, id_digits), compaction],
            "usage": usage_object(answers[0]),
        }
        return msgspec.json.encode(body)

    def _decode(self, raw: bytes, context: StoredContext) -> ResponsesRequest:
        warnings: list[RequestWarning] = []
        sent = _parse_object(raw, warnings)
        encrypt_summary = require_cipher(self._options.cipher)
        before_trigger = items_before_trigger(sent)
        data = cast("JSONObject", normalize(sent if before_trigger is None else {**sent, "input": before_trigger}))
        items: list[JSON] = [*listed_items(data.get("input") or [], "0")]
        inherited = inherit_fields({**data, **_NOT_STORED}, context.history)
        summarizing = summary_request(cast("JSONObject", inherited), items)
        request = decode_data(
            summarizing, self._catalog(), self._options, context, with_tools=False, body_warnings=warnings
        )
        options = summary_options(request.request_options)
        return replace(request, encrypt_summary=encrypt_summary, request_options=options)


def _instructions(request: ResponsesRequest, id_digits: str) -> list[JSONObject]:
    earlier = [item for turn in request.history for item in turn.input_items]
    items = [*earlier, *listed_items(request.input_items, id_digits)]
    return [item for item in items if item["type"] == "message" and item["role"] in _INSTRUCTION_ROLES]


def _parse_object(raw: bytes, warnings: list[RequestWarning]) -> JSONObject:
    data = parse_json(raw, warnings)
    if not isinstance(data, dict):
        raise InvalidRequest("The request body must be a JSON object.", code="invalid_type")
    return data
