"""The text completions dialect, as the gateway uses it."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from dragoman.catalog import Catalog
from dragoman.errors import GatewayError
from dragoman.fold import Folded
from dragoman.notices import Notice
from dragoman.wire.base import NO_HEADERS, Decoded, ErrorReply, Headers, Identity
from dragoman.wire.openai_completions import decode, encode
from dragoman.wire.openai_completions.request import CompletionRequest
from dragoman.wire.openai_completions.stream import CompletionStream
from dragoman.wire.options import WireOptions
from dragoman.wire.statuses import openai_reply


class OpenAICompletions:
    """The `Codec` of `/v1/completions`.

    Args:
        catalog: What gives the models: the list may change while the gateway runs.
        options: The operator's choices.
    """

    def __init__(self, catalog: Callable[[], Catalog], options: WireOptions | None = None) -> None:
        self._catalog = catalog
        self._options = options or WireOptions()

    def decode(self, raw: bytes, headers: Headers = NO_HEADERS) -> CompletionRequest:  # noqa: ARG002 - all is in the body
        """Understand a request body.

        Raises:
            InvalidRequest: With the field's name in `param`.
            NotFound: The model does not exist.
        """
        return decode.decode(raw, self._catalog(), self._options)

    def review(self, decoded: Decoded, answers: Sequence[Folded]) -> tuple[Notice, ...]:  # noqa: ARG002 - the protocol's
        """Nothing: any text is an answer."""
        return ()

    def faults(self, decoded: Decoded, answers: Sequence[Folded]) -> Mapping[int, GatewayError]:  # noqa: ARG002 - the same
        """None: any text is an answer."""
        return {}

    def encode(self, decoded: Decoded, identity: Identity, answers: Sequence[Folded]) -> bytes:
        """Encode the whole answer."""
        return encode.encode(cast("CompletionRequest", decoded), identity, answers)

    def encode_stream(self, decoded: Decoded, identity: Identity) -> CompletionStream:
        """Make the encoder of one streamed answer."""
        return CompletionStream(cast("CompletionRequest", decoded), identity)

    def encode_error(self, error: GatewayError) -> ErrorReply:
        """Encode an error that ends the request before an answer began."""
        return openai_reply(error)
