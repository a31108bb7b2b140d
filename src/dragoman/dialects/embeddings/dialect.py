"""The embeddings dialect: `/v1/embeddings`."""

from collections.abc import Iterator, Mapping, Sequence

from dragoman.core.errors import GatewayError
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import DialectOptions, ErrorResponse
from dragoman.dialects.embeddings.request import EmbeddingsRequest, decode_embeddings
from dragoman.dialects.embeddings.response import encode_embeddings
from dragoman.dialects.shared.errors import openai_error_response


class EmbeddingsDialect:
    """Decodes requests of `/v1/embeddings` and encodes their responses. Stateless, shared between requests.

    Args:
        model: The model's name.
        aliases: The operator's own names for models.
        options: The operator's settings.
    """

    def __init__(self, model: str, aliases: Mapping[str, str], options: DialectOptions) -> None:
        self._model = model
        self._aliases = aliases
        self._options = options

    def decode(self, raw: bytes) -> EmbeddingsRequest:
        """Decode a request.

        Raises:
            InvalidRequest: With the field's name in `param`.
            NotFound: The model does not create embeddings.
        """
        return decode_embeddings(raw, self._model, self._aliases, self._options)

    def response_warnings(self, truncated: Sequence[int], tokens: int | None) -> tuple[RequestWarning, ...]:
        """Return the warnings about the vectors.

        Args:
            truncated: The indexes of inputs that the model read only in part.
            tokens: The number of tokens that it read; None: unknown.
        """
        warnings = [
            RequestWarning("truncated", f"input[{index}]", "The text is too long; the model read only its beginning.")
            for index in truncated
        ]
        if tokens is None:
            detail = "The embeddings endpoint does not report the number of tokens."
            warnings.append(RequestWarning("unknown", "usage", detail))
        return tuple(warnings)

    def encode(self, request: EmbeddingsRequest, vectors: Sequence[bytes], tokens: int | None) -> Iterator[bytes]:
        """Encode the response, in pieces that take well under a millisecond each.

        Raises:
            InvalidRequest: The client asked for more dimensions than the model has.
        """
        return encode_embeddings(request, self._model, vectors, tokens or 0)

    def encode_error(self, error: GatewayError) -> ErrorResponse:
        """Encode an error."""
        return openai_error_response(error)
