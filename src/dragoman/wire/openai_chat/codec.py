"""The chat completions dialect, as the gateway uses it."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from dragoman.catalog import Catalog
from dragoman.errors import GatewayError
from dragoman.fold import Folded
from dragoman.notices import Notice
from dragoman.wire.base import NO_HEADERS, Decoded, ErrorReply, Headers, Identity
from dragoman.wire.openai_chat import decode, encode
from dragoman.wire.openai_chat.kept import KeptChats
from dragoman.wire.openai_chat.request import ChatRequest
from dragoman.wire.openai_chat.stream import ChatStream
from dragoman.wire.options import WireOptions
from dragoman.wire.statuses import openai_reply


class OpenAIChat:
    """The `Codec` of `/v1/chat/completions`.

    Args:
        catalog: The models, or what gives them: the list may change while the gateway runs.
        options: The operator's choices.
    """

    def __init__(self, catalog: Catalog | Callable[[], Catalog], options: WireOptions | None = None) -> None:
        self._catalog = catalog
        self._options = options or WireOptions()
        self.documents = KeptChats()

    def decode(self, raw: bytes, headers: Headers = NO_HEADERS) -> ChatRequest:  # noqa: ARG002 - all is in the body
        """Understand a request body.

        Raises:
            InvalidRequest: With the field's name in `param`.
            NotFound: The model does not exist.
        """
        catalog = self._catalog if isinstance(self._catalog, Catalog) else self._catalog()
        return decode.decode(raw, catalog, self._options)

    def review(self, decoded: Decoded, answers: Sequence[Folded]) -> tuple[Notice, ...]:
        """What a whole answer is to be warned of: tool arguments that do not fit the client's schemas."""
        return encode.review(cast("ChatRequest", decoded), answers)

    def faults(self, decoded: Decoded, answers: Sequence[Folded]) -> Mapping[int, GatewayError]:
        """`schema_mismatch`, for each choice whose text is not what `response_format` asks for."""
        return encode.faults(cast("ChatRequest", decoded), answers)

    def encode(self, decoded: Decoded, identity: Identity, answers: Sequence[Folded]) -> bytes:
        """Encode the whole answer."""
        return encode.encode(cast("ChatRequest", decoded), identity, answers)

    def encode_stream(self, decoded: Decoded, identity: Identity) -> ChatStream:
        """Make the encoder of one streamed answer."""
        return ChatStream(cast("ChatRequest", decoded), identity)

    def encode_error(self, error: GatewayError) -> ErrorReply:
        """Encode an error that ends the request before an answer began."""
        return openai_reply(error)
