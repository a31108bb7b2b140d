"""The text completions dialect, as the gateway uses it."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.catalog import Catalog
from dragoman.core.errors import GatewayError
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import NO_HEADERS, DecodedRequest, DialectOptions, ErrorResponse, Headers, ResponseIdentity
from dragoman.dialects.completions import request, response
from dragoman.dialects.completions.request import CompletionRequest
from dragoman.dialects.completions.stream import CompletionStream
from dragoman.dialects.shared.errors import openai_error_response


class CompletionsDialect:
    """The `Codec` of `/v1/completions`.

    Args:
        catalog: What gives the models: the list may change while the gateway runs.
        options: The operator's choices.
    """

    def __init__(self, catalog: Callable[[], Catalog], options: DialectOptions | None = None) -> None:
        self._catalog = catalog
        self._options = options or DialectOptions()

    def decode(self, raw: bytes, headers: Headers = NO_HEADERS) -> CompletionRequest:  # noqa: ARG002 - all is in the body
        """Understand a request body.

        Raises:
            InvalidRequest: With the field's name in `param`.
            NotFound: The model does not exist.
        """
        return request.decode(raw, self._catalog(), self._options)

    def review(self, decoded: DecodedRequest, answers: Sequence[AccumulatedMessage]) -> tuple[RequestWarning, ...]:  # noqa: ARG002 - the protocol's
        """Nothing: any text is an answer."""
        return ()

    def faults(self, decoded: DecodedRequest, answers: Sequence[AccumulatedMessage]) -> Mapping[int, GatewayError]:  # noqa: ARG002 - the same
        """None: any text is an answer."""
        return {}

    def encode(
        self, decoded: DecodedRequest, identity: ResponseIdentity, answers: Sequence[AccumulatedMessage]
    ) -> bytes:
        """Encode the whole answer."""
        return response.encode(cast("CompletionRequest", decoded), identity, answers)

    def encode_stream(self, decoded: DecodedRequest, identity: ResponseIdentity) -> CompletionStream:
        """Make the encoder of one streamed answer."""
        return CompletionStream(cast("CompletionRequest", decoded), identity)

    def encode_error(self, error: GatewayError) -> ErrorResponse:
        """Encode an error that ends the request before an answer began."""
        return openai_error_response(error)
