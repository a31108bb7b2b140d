"""The chat completions dialect, as the gateway uses it."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.catalog import Catalog
from dragoman.core.errors import GatewayError
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import NO_HEADERS, DecodedRequest, DialectOptions, ErrorResponse, Headers, ResponseIdentity
from dragoman.dialects.chat import request, response
from dragoman.dialects.chat.request import ChatRequest
from dragoman.dialects.chat.stored import StoredChats
from dragoman.dialects.chat.stream import ChatStream
from dragoman.dialects.shared.errors import openai_error_response


class ChatDialect:
    """The `Codec` of `/v1/chat/completions`.

    Args:
        catalog: The models, or what gives them: the list may change while the gateway runs.
        options: The operator's choices.
    """

    def __init__(self, catalog: Catalog | Callable[[], Catalog], options: DialectOptions | None = None) -> None:
        self._catalog = catalog
        self._options = options or DialectOptions()
        self.documents = StoredChats()

    def decode(self, raw: bytes, headers: Headers = NO_HEADERS) -> ChatRequest:  # noqa: ARG002 - all is in the body
        """Understand a request body.

        Raises:
            InvalidRequest: With the field's name in `param`.
            NotFound: The model does not exist.
        """
        catalog = self._catalog if isinstance(self._catalog, Catalog) else self._catalog()
        return request.decode(raw, catalog, self._options)

    def review(self, decoded: DecodedRequest, answers: Sequence[AccumulatedMessage]) -> tuple[RequestWarning, ...]:
        """What a whole answer is to be warned of: tool arguments that do not fit the client's schemas."""
        return response.review(cast("ChatRequest", decoded), answers)

    def faults(self, decoded: DecodedRequest, answers: Sequence[AccumulatedMessage]) -> Mapping[int, GatewayError]:
        """`schema_mismatch`, for each choice whose text is not what `response_format` asks for."""
        return response.faults(cast("ChatRequest", decoded), answers)

    def encode(
        self, decoded: DecodedRequest, identity: ResponseIdentity, answers: Sequence[AccumulatedMessage]
    ) -> bytes:
        """Encode the whole answer."""
        return response.encode(cast("ChatRequest", decoded), identity, answers)

    def encode_stream(self, decoded: DecodedRequest, identity: ResponseIdentity) -> ChatStream:
        """Make the encoder of one streamed answer."""
        return ChatStream(cast("ChatRequest", decoded), identity)

    def encode_error(self, error: GatewayError) -> ErrorResponse:
        """Encode an error that ends the request before an answer began."""
        return openai_error_response(error)
