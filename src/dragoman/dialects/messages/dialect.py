"""The Messages dialect, as the gateway uses it."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.catalog import Catalog
from dragoman.core.errors import GatewayError
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import NO_HEADERS, DecodedRequest, ErrorResponse, Headers, ResponseIdentity
from dragoman.dialects.messages import request
from dragoman.dialects.messages.response import anthropic_error_response
from dragoman.dialects.messages.stream import MessagesStream


class MessagesDialect:
    """The `Codec` of `/v1/messages`: nearly the identity, since everything inside is in Claude's own format.

    Args:
        catalog: What gives the models: the list may change while the gateway runs.
    """

    def __init__(self, catalog: Callable[[], Catalog]) -> None:
        self._catalog = catalog

    def decode(self, raw: bytes, headers: Headers = NO_HEADERS) -> DecodedRequest:
        """Understand a request, of a message or of a count.

        Raises:
            InvalidRequest: With the field's name in `param`.
            NotFound: The model does not exist.
        """
        return request.decode(raw, headers, self._catalog())

    def review(self, decoded: DecodedRequest, answers: Sequence[AccumulatedMessage]) -> tuple[RequestWarning, ...]:  # noqa: ARG002 - the protocol's
        """Nothing: the answer is as Claude gave it."""
        return ()

    def faults(self, decoded: DecodedRequest, answers: Sequence[AccumulatedMessage]) -> Mapping[int, GatewayError]:  # noqa: ARG002 - the same
        """None: the answer is as Claude gave it."""
        return {}

    def encode(
        self,
        decoded: DecodedRequest,  # noqa: ARG002 - the protocol's
        identity: ResponseIdentity,  # noqa: ARG002 - the protocol's
        answers: Sequence[AccumulatedMessage],
    ) -> bytes:
        """Encode the whole answer: the message itself."""
        [answer] = answers
        return msgspec.json.encode(answer.message)

    def encode_stream(self, decoded: DecodedRequest, identity: ResponseIdentity) -> MessagesStream:  # noqa: ARG002 - the same
        """Make the encoder of one streamed answer."""
        return MessagesStream()

    def encode_error(self, error: GatewayError) -> ErrorResponse:
        """Encode an error that ends the request before an answer began."""
        return anthropic_error_response(error)
