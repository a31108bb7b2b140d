"""The operator's choices for the dialects.

What every dialect offers: one decoder, and one encoder for answers, streams and errors.

A codec is stateless and shared between requests; a `StreamEncoder` belongs to one answer. All bytes that come out are
ready to be sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, TypeAlias, runtime_checkable

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.catalog import Resolved
from dragoman.core.errors import GatewayError
from dragoman.core.events import MessageEvent
from dragoman.core.media import Placed
from dragoman.core.messages import DEFAULT_REQUEST_OPTIONS, MessagesRequest, RequestOptions
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.shared.sealing import ReasoningCipher


@dataclass(frozen=True, slots=True)
class DialectOptions:
    """How strictly requests are read.

    Attributes:
        strict_parameters: Refuse unknown fields instead of ignoring them.
        max_choices: The largest `n`.
        strict_mapping: Refuse what could only be mapped to something near it.
        keeps: Whether answers can be kept.
        cipher: Closes what clients carry for us; without it they are given nothing to carry.
    """

    strict_parameters: bool = False
    max_choices: int = 8
    strict_mapping: bool = False
    keeps: bool = False
    cipher: ReasoningCipher | None = None


Headers: TypeAlias = Mapping[bytes, bytes]
"""The headers of a request, by lower-case name."""

NO_HEADERS: Headers = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageOptions:
    """That an answer is to be kept, and how.

    Attributes:
        asked: Whether the client said so itself: then its answer is made to the end also where it leaves before.
        background: Whether the client does not wait for the answer.
        parent: The id of the kept answer that it goes on from.
        labels: The client's own words about it.
    """

    asked: bool = False
    background: bool = False
    parent: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@value_object(kw_only=True)
class DecodedRequest:
    """A client's request, understood. Dialects add what they need to encode the answer.

    Attributes:
        body: The canonical request.
        resolved: The model that will answer, and the name it was asked for by.
        stream: Whether the client wants server-sent events.
        choices: How many answers it wants.
        warnings: What was ignored, clamped or mapped on the way.
        media: The images and documents in the body. Those with a `url` source may still have to be fetched.
        request_options: What the client says beside the body.
        keeping: How the answer is to be kept; none where it is not.
    """

    body: MessagesRequest
    resolved: Resolved
    stream: bool = False
    choices: int = 1
    warnings: tuple[RequestWarning, ...] = ()
    media: tuple[Placed, ...] = ()
    request_options: RequestOptions = DEFAULT_REQUEST_OPTIONS
    keeping: StorageOptions | None = None

    def body_of(self, choice: int) -> MessagesRequest:  # noqa: ARG002 - one question for all, in most dialects
        """The canonical request that one of the answers is to; the same for all unless a dialect takes several."""
        return self.body


@value_object
class ResponseIdentity:
    """What names an answer.

    Attributes:
        run_id: The run's id, `run_` and 32 hexadecimal digits; ids of the dialect are made from its digits.
        created: Seconds since 1970.
    """

    run_id: str
    created: int


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """An error as a dialect says it: HTTP status and JSON body."""

    status: int
    body: bytes


class StreamEncoder(Protocol):
    """Turns one run's events into server-sent events.

    Feed events in the order the backend yields them. After `fail` or `finish`, or once there is a `failure`, whatever
    is fed says nothing more. Each returns whole server-sent events, or nothing.
    """

    heartbeat: bytes
    """Sent when the model is silent; clients ignore it."""

    separate: bool
    """Whether every event wants a write of its own: some clients take what they read at once for one event."""

    failure: GatewayError | None
    """What ended the stream instead of an answer: what `fail` was told, or a fault that shows only here."""

    def feed(self, event: MessageEvent, choice: int = 0) -> bytes:
        """Encode one event of one choice."""
        ...

    def finish(self) -> bytes:
        """End the stream after the last event."""
        ...

    def fail(self, error: GatewayError) -> bytes:
        """Close what is open, say the error in a form the dialect's clients raise on, and end the stream."""
        ...


class Dialect(Protocol):
    """One dialect."""

    def decode(self, raw: bytes, headers: Headers = NO_HEADERS) -> DecodedRequest:
        """Understand a request.

        Args:
            raw: Its body.
            headers: Its headers, of which some dialects read a few.

        Raises:
            InvalidRequest: With the field's name in `param`.
            NotFound: The model does not exist.
        """
        ...

    def review(self, decoded: DecodedRequest, answers: Sequence[AccumulatedMessage]) -> tuple[RequestWarning, ...]:
        """What the client is to be warned of in a whole answer, beside what the request itself gave cause for."""
        ...

    def faults(self, decoded: DecodedRequest, answers: Sequence[AccumulatedMessage]) -> Mapping[int, GatewayError]:
        """What is wrong with whole answers that are not what was asked for, by choice.

        Such an answer may not be encoded. The model may be asked for it once more.
        """
        ...

    def encode(
        self, decoded: DecodedRequest, identity: ResponseIdentity, answers: Sequence[AccumulatedMessage]
    ) -> bytes:
        """Encode the whole answer, one `Folded` a choice, none of which has a fault."""
        ...

    def encode_stream(self, decoded: DecodedRequest, identity: ResponseIdentity) -> StreamEncoder:
        """Make the encoder of one streamed answer."""
        ...

    def encode_error(self, error: GatewayError) -> ErrorResponse:
        """Encode an error that ends the request before an answer began."""
        ...


class StoredFormat(Protocol):
    """Kept answers of one dialect, each in one piece of bytes that holds the question, too. Nobody else reads them."""

    kind: str
    """What they are, where answers are kept."""

    def id_of(self, identity: ResponseIdentity) -> str:
        """The id that an answer goes by."""
        ...

    def whole(
        self, decoded: DecodedRequest, identity: ResponseIdentity, answers: Sequence[AccumulatedMessage], body: bytes
    ) -> bytes:
        """An answer that is made; `body` is what `Codec.encode` has made of it."""
        ...

    def shown(self, document: bytes, include: Sequence[str] = ()) -> bytes:
        """The answer as its client gets to see it.

        Args:
            document: The document.
            include: What the client wants to see beside the rest, in the words of the dialect.
        """
        ...


@runtime_checkable
class BackgroundFormat(StoredFormat, Protocol):
    """Answers that can be asked for while they are being made."""

    def begun(self, decoded: DecodedRequest, identity: ResponseIdentity) -> bytes:
        """An answer that has still to be made."""
        ...

    def running(self, document: bytes) -> bytes:
        """An answer that is being made, by what it was when it had begun."""
        ...

    def failed(self, document: bytes, error: GatewayError) -> bytes:
        """An answer that broke off, by what it was before."""
        ...

    def cancelled(self, document: bytes) -> bytes:
        """An answer that nobody wanted any more, by what it was before."""
        ...

    def last_event(self, document: bytes, number: int) -> bytes:
        """What ends the stream of an answer that broke off with nobody left to tell it.

        Args:
            document: The answer, failed.
            number: The number of the event.
        """
        ...


@runtime_checkable
class BackgroundStreamEncoder(StreamEncoder, Protocol):
    """The encoder of an answer that may be made in the background."""

    def queue(self) -> bytes:
        """Tell that the answer waits for its turn, before anything else is told."""
        ...

    def cancel(self) -> bytes:
        """Close what is open, and end the stream of an answer that nobody wants any more."""
        ...


class StoringDialect(Dialect, Protocol):
    """A dialect whose answers can be kept."""

    @property
    def documents(self) -> StoredFormat:
        """How they are kept."""
        ...
