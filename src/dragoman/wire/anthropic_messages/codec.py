"""The Messages dialect, as the gateway uses it."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from dragoman.catalog import Catalog
from dragoman.errors import GatewayError
from dragoman.fold import Folded
from dragoman.notices import Notice
from dragoman.wire.anthropic_messages import decode
from dragoman.wire.anthropic_messages.errors import anthropic_reply
from dragoman.wire.anthropic_messages.stream import MessagesStream
from dragoman.wire.base import NO_HEADERS, Decoded, ErrorReply, Headers, Identity


class AnthropicMessages:
    """The `Codec` of `/v1/messages`: nearly the identity, since everything inside is in Claude's own format.

    Args:
        catalog: What gives the models: the list may change while the gateway runs.
    """

    def __init__(self, catalog: Callable[[], Catalog]) -> None:
        self._catalog = catalog

    def decode(self, raw: bytes, headers: Headers = NO_HEADERS) -> Decoded:
        """Understand a request, of a message or of a count.

        Raises:
            InvalidRequest: With the field's name in `param`.
            NotFound: The model does not exist.
        """
        return decode.decode(raw, headers, self._catalog())

    def review(self, decoded: Decoded, answers: Sequence[Folded]) -> tuple[Notice, ...]:  # noqa: ARG002 - the protocol's
        """Nothing: the answer is as Claude gave it."""
        return ()

    def faults(self, decoded: Decoded, answers: Sequence[Folded]) -> Mapping[int, GatewayError]:  # noqa: ARG002 - the same
        """None: the answer is as Claude gave it."""
        return {}

    def encode(self, decoded: Decoded, identity: Identity, answers: Sequence[Folded]) -> bytes:  # noqa: ARG002 - the same
        """Encode the whole answer: the message itself."""
        [answer] = answers
        return msgspec.json.encode(answer.message)

    def encode_stream(self, decoded: Decoded, identity: Identity) -> MessagesStream:  # noqa: ARG002 - the same
        """Make the encoder of one streamed answer."""
        return MessagesStream()

    def encode_error(self, error: GatewayError) -> ErrorReply:
        """Encode an error that ends the request before an answer began."""
        return anthropic_reply(error)
