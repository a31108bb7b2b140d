"""The text completions dialect: `/v1/completions`."""

from collections.abc import Callable, Mapping, Sequence

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.catalog import Catalog
from dragoman.core.errors import GatewayError
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import NO_HEADERS, DialectOptions, ErrorResponse, Headers, ResponseIdentity
from dragoman.dialects.completions.request import CompletionRequest, decode_completion
from dragoman.dialects.completions.response import encode_completion
from dragoman.dialects.completions.stream import CompletionStream
from dragoman.dialects.shared.errors import openai_error_response


class CompletionsDialect:
    """The `Dialect` of `/v1/completions`. Any text is a valid response.

    Args:
        catalog: Returns the models: the list may change while the gateway runs.
        options: The operator's settings.
    """

    def __init__(self, catalog: Callable[[], Catalog], options: DialectOptions | None = None) -> None:
        self._catalog = catalog
        self._options = options or DialectOptions()

    def decode(self, raw: bytes, headers: Headers = NO_HEADERS) -> CompletionRequest:  # noqa: ARG002 - all is in the body
        """Decode a request.

        Raises:
            InvalidRequest: With the field's name in `param`.
            NotFound: The model does not exist.
        """
        return decode_completion(raw, self._catalog(), self._options)

    def response_warnings(
        self,
        request: CompletionRequest,  # noqa: ARG002 - the protocol's
        answers: Sequence[AccumulatedMessage],  # noqa: ARG002 - the protocol's
    ) -> tuple[RequestWarning, ...]:
        """Return no warnings."""
        return ()

    def invalid_choices(
        self,
        request: CompletionRequest,  # noqa: ARG002 - the protocol's
        answers: Sequence[AccumulatedMessage],  # noqa: ARG002 - the protocol's
    ) -> Mapping[int, GatewayError]:
        """Return no errors."""
        return {}

    def encode(
        self, request: CompletionRequest, identity: ResponseIdentity, answers: Sequence[AccumulatedMessage]
    ) -> bytes:
        """Encode the whole response."""
        return encode_completion(request, identity, answers)

    def encode_stream(self, request: CompletionRequest, identity: ResponseIdentity) -> CompletionStream:
        """Return the encoder of one streamed response."""
        return CompletionStream(request, identity)

    def encode_error(self, error: GatewayError) -> ErrorResponse:
        """Encode an error that ends the request before a response began."""
        return openai_error_response(error)
