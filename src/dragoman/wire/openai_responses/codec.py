"""The responses dialect, as the gateway uses it."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import msgspec

from dragoman.catalog import Catalog
from dragoman.errors import GatewayError
from dragoman.fold import Folded
from dragoman.notices import Notice
from dragoman.wire.base import NO_HEADERS, Decoded, ErrorReply, Headers, Identity
from dragoman.wire.openai_responses import decode, encode
from dragoman.wire.openai_responses.kept import KeptResponses
from dragoman.wire.openai_responses.past import Past
from dragoman.wire.openai_responses.request import ResponsesRequest
from dragoman.wire.openai_responses.stream import ResponseStream
from dragoman.wire.options import WireOptions
from dragoman.wire.statuses import openai_reply


class OpenAIResponses:
    """The `Codec` of `/v1/responses`.

    Args:
        catalog: What gives the models: the list may change while the gateway runs.
        options: The operator's choices.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        catalog: Callable[[], Catalog],
        options: WireOptions | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._catalog = catalog
        self._options = options or WireOptions()
        self._clock = clock
        self.documents = KeptResponses(self._options.vault)

    def decode(self, raw: bytes, headers: Headers = NO_HEADERS) -> ResponsesRequest:  # noqa: ARG002 - all is in the body
        """Understand a request body.

        Raises:
            InvalidRequest: With the field's name in `param`.
            NotFound: The model does not exist.
        """
        return decode.decode(raw, self._catalog(), self._options)

    def decode_after(self, raw: bytes, past: Past) -> ResponsesRequest:
        """Understand a request that goes on from a kept response; the rest as `decode`.

        Args:
            raw: Its body.
            past: What was said before.
        """
        return decode.decode(raw, self._catalog(), self._options, past)

    def review(self, decoded: Decoded, answers: Sequence[Folded]) -> tuple[Notice, ...]:
        """What a whole answer is to be warned of: tool arguments that do not fit the client's schemas."""
        return encode.review(cast("ResponsesRequest", decoded), answers[0])

    def faults(self, decoded: Decoded, answers: Sequence[Folded]) -> Mapping[int, GatewayError]:
        """`schema_mismatch`, where the text is not what `text.format` asks for."""
        fault = encode.fault(cast("ResponsesRequest", decoded), answers[0])
        return {0: fault} if fault else {}

    def encode(self, decoded: Decoded, identity: Identity, answers: Sequence[Folded]) -> bytes:
        """Encode the whole answer."""
        now = int(self._clock())
        return msgspec.json.encode(encode.response(cast("ResponsesRequest", decoded), identity, answers[0], now))

    def encode_stream(self, decoded: Decoded, identity: Identity) -> ResponseStream:
        """Make the encoder of one streamed answer."""
        return ResponseStream(cast("ResponsesRequest", decoded), identity, self._clock)

    def encode_error(self, error: GatewayError) -> ErrorReply:
        """Encode an error that ends the request before an answer began."""
        return openai_reply(error)
