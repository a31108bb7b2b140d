"""The chat completions dialect: `/v1/chat/completions`."""

from collections.abc import Callable, Mapping, Sequence

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.catalog import Catalog
from dragoman.core.errors import GatewayError
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import NO_HEADERS, DialectOptions, ErrorResponse, Headers, ResponseIdentity
from dragoman.dialects.chat.plain import KnownParts
from dragoman.dialects.chat.request import ChatRequest, decode_chat
from dragoman.dialects.chat.response import argument_warnings, encode_chat, invalid_choices
from dragoman.dialects.chat.stored import StoredChats
from dragoman.dialects.chat.stream import ChatStream
from dragoman.dialects.shared.errors import openai_error_response


class ChatDialect:
    """The `Dialect` of `/v1/chat/completions`.

    Args:
        catalog: The models, or a function that returns them: the list may change while the gateway runs.
        options: The operator's settings.
    """

    def __init__(self, catalog: Catalog | Callable[[], Catalog], options: DialectOptions | None = None) -> None:
        self._catalog = catalog
        self._options = options or DialectOptions()
        self.stored_format = StoredChats()
        self._known_parts = KnownParts()

    def decode(self, raw: bytes, headers: Headers = NO_HEADERS) -> ChatRequest:  # noqa: ARG002 - all is in the body
        """Decode a request.

        Raises:
            InvalidRequest: With the field's name in `param`.
            NotFound: The model does not exist.
        """
        catalog = self._catalog if isinstance(self._catalog, Catalog) else self._catalog()
        return decode_chat(raw, catalog, self._options, self._known_parts)

    def response_warnings(
        self, request: ChatRequest, answers: Sequence[AccumulatedMessage]
    ) -> tuple[RequestWarning, ...]:
        """Return a warning for each tool call whose arguments do not match the client's schema."""
        return argument_warnings(request, answers)

    def invalid_choices(
        self, request: ChatRequest, answers: Sequence[AccumulatedMessage]
    ) -> Mapping[int, GatewayError]:
        """Return `schema_mismatch` for each choice whose text does not match `response_format`."""
        return invalid_choices(request, answers)

    def encode(self, request: ChatRequest, identity: ResponseIdentity, answers: Sequence[AccumulatedMessage]) -> bytes:
        """Encode the whole response."""
        return encode_chat(request, identity, answers)

    def encode_stream(self, request: ChatRequest, identity: ResponseIdentity) -> ChatStream:
        """Return the encoder of one streamed response."""
        return ChatStream(request, identity)

    def encode_error(self, error: GatewayError) -> ErrorResponse:
        """Encode an error that ends the request before a response began."""
        return openai_error_response(error)
