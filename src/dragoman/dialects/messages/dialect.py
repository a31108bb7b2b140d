"""The Messages dialect: `/v1/messages` and `/v1/messages/count_tokens`."""

from collections.abc import Callable, Mapping, Sequence

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.catalog import Catalog
from dragoman.core.errors import GatewayError
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import NO_HEADERS, DecodedRequest, ErrorResponse, Headers, ResponseIdentity
from dragoman.dialects.messages.errors import anthropic_error_response
from dragoman.dialects.messages.known import KnownMessages
from dragoman.dialects.messages.request import decode_message
from dragoman.dialects.messages.response import encode_message
from dragoman.dialects.messages.stream import MessagesStream


class MessagesDialect:
    """The `Dialect` of `/v1/messages`: nearly the identity, since the canonical form is the Messages API's own.

    Args:
        catalog: Returns the models: the list may change while the gateway runs.
    """

    def __init__(self, catalog: Callable[[], Catalog]) -> None:
        self._catalog = catalog
        self._known = KnownMessages()

    def decode(self, raw: bytes, headers: Headers = NO_HEADERS) -> DecodedRequest:
        """Decode a request for a message, or for a count of its tokens.

        Raises:
            InvalidRequest: With the field's name in `param`.
            NotFound: The model does not exist.
        """
        return decode_message(raw, headers, self._catalog(), self._known)

    def response_warnings(
        self,
        request: DecodedRequest,  # noqa: ARG002 - the protocol's
        answers: Sequence[AccumulatedMessage],  # noqa: ARG002 - the protocol's
    ) -> tuple[RequestWarning, ...]:
        """Return no warnings: the response is passed on as Claude gave it."""
        return ()

    def invalid_choices(
        self,
        request: DecodedRequest,  # noqa: ARG002 - the protocol's
        answers: Sequence[AccumulatedMessage],  # noqa: ARG002 - the protocol's
    ) -> Mapping[int, GatewayError]:
        """Return no errors: the response is passed on as Claude gave it."""
        return {}

    def encode(
        self,
        request: DecodedRequest,  # noqa: ARG002 - the protocol's
        identity: ResponseIdentity,  # noqa: ARG002 - the protocol's
        answers: Sequence[AccumulatedMessage],
    ) -> bytes:
        """Encode the whole response: the message itself."""
        [answer] = answers
        return encode_message(answer.message)

    def encode_stream(self, request: DecodedRequest, identity: ResponseIdentity) -> MessagesStream:  # noqa: ARG002 - the protocol's
        """Return the encoder of one streamed response."""
        return MessagesStream()

    def encode_error(self, error: GatewayError) -> ErrorResponse:
        """Encode an error that ends the request before a response began."""
        return anthropic_error_response(error)
