"""The embeddings dialect, as the gateway uses it."""

from collections.abc import Iterator, Mapping, Sequence

from dragoman.core.errors import GatewayError
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import DialectOptions, ErrorResponse
from dragoman.dialects.embeddings import response
from dragoman.dialects.embeddings.request import EmbeddingCreateRequest, EmbeddingsRequest, check_name, read_inputs
from dragoman.dialects.shared import validation
from dragoman.dialects.shared.errors import openai_error_response
from dragoman.dialects.shared.validation import warn_unknown_fields


class EmbeddingsDialect:
    """Reads requests of `/v1/embeddings` and writes their answers. Stateless, shared between requests.

    Args:
        model: What the model is called.
        aliases: The operator's own names for models.
        options: How strictly requests are read.
    """

    def __init__(self, model: str, aliases: Mapping[str, str], options: DialectOptions) -> None:
        self._model = model
        self._aliases = aliases
        self._options = options

    def decode(self, raw: bytes) -> EmbeddingsRequest:
        """Understand a request body.

        Raises:
            InvalidRequest: With the field's name in `param`.
            NotFound: The model makes no embeddings here.
        """
        data = validation.parse(raw)
        request = validation.typed(data, EmbeddingCreateRequest)
        warnings: list[RequestWarning] = []
        warn_unknown_fields(data, request, self._options, warnings)
        if request.user is not None:
            warnings.append(RequestWarning("ignored", "user", "Nothing is kept of embeddings."))
        asked = check_name(request.model, self._model, self._aliases)
        inputs = read_inputs(request.input)
        return EmbeddingsRequest(
            inputs=inputs,
            asked=asked,
            dimensions=request.dimensions,
            base64=request.encoding_format == "base64",
            warnings=tuple(warnings),
        )

    def warn(self, truncated: Sequence[int], tokens: int | None) -> tuple[RequestWarning, ...]:
        """What the client is to be warned of once the vectors are made.

        Args:
            truncated: The places of inputs of which the model read the beginning only.
            tokens: How many tokens it read, if that is known.
        """
        cut = [
            RequestWarning("truncated", f"input[{place}]", "Too long: the model read the beginning.")
            for place in truncated
        ]
        unknown = (
            [RequestWarning("unknown", "usage", "The endpoint does not say how many tokens.")] if tokens is None else []
        )
        return (*cut, *unknown)

    def encode(self, request: EmbeddingsRequest, vectors: Sequence[bytes], tokens: int | None) -> Iterator[bytes]:
        """Encode the answer, in pieces that take well under a millisecond each.

        Raises:
            InvalidRequest: More dimensions are wanted than the model has.
        """
        return response.encode(request, self._model, vectors, tokens or 0)

    def encode_error(self, error: GatewayError) -> ErrorResponse:
        """Encode an error."""
        return openai_error_response(error)
