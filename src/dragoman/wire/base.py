"""What every dialect offers: one decoder, and one encoder for answers, streams and errors.

A codec is stateless and shared between requests; a `StreamEncoder` belongs to one answer. All bytes that come out are
ready to be sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, TypeAlias, runtime_checkable

from dragoman.catalog import Resolved
from dragoman.errors import GatewayError
from dragoman.events import MessageEvent
from dragoman.fold import Folded
from dragoman.media import Placed
from dragoman.messages import NO_TERMS, MessagesRequest, Terms
from dragoman.notices import Notice
from dragoman.values import unchanging

Headers: TypeAlias = Mapping[bytes, bytes]
"""The headers of a request, by lower-case name."""

NO_HEADERS: Headers = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
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


@unchanging(kw_only=True)
class Decoded:
    """A client's request, understood. Dialects add what they need to encode the answer.

    Attributes:
        body: The canonical request.
        resolved: The model that will answer, and the name it was asked for by.
        stream: Whether the client wants server-sent events.
        choices: How many answers it wants.
        notices: What was ignored, clamped or mapped on the way.
        media: The images and documents in the body. Those with a `url` source may still have to be fetched.
        terms: What the client says beside the body.
        keeping: How the answer is to be kept; none where it is not.
    """

    body: MessagesRequest
    resolved: Resolved
    stream: bool = False
    choices: int = 1
    notices: tuple[Notice, ...] = ()
    media: tuple[Placed, ...] = ()
    terms: Terms = NO_TERMS
    keeping: Keeping | None = None

    def body_of(self, choice: int) -> MessagesRequest:  # noqa: ARG002 - one question for all, in most dialects
        """The canonical request that one of the answers is to; the same for all unless a dialect takes several."""
        return self.body


@unchanging
class Identity:
    """What names an answer.

    Attributes:
        run_id: The run's id, `run_` and 32 hexadecimal digits; ids of the dialect are made from its digits.
        created: Seconds since 1970.
    """

    run_id: str
    created: int


@dataclass(frozen=True, slots=True)
class ErrorReply:
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


class Codec(Protocol):
    """One dialect."""

    def decode(self, raw: bytes, headers: Headers = NO_HEADERS) -> Decoded:
        """Understand a request.

        Args:
            raw: Its body.
            headers: Its headers, of which some dialects read a few.

        Raises:
            InvalidRequest: With the field's name in `param`.
            NotFound: The model does not exist.
        """
        ...

    def review(self, decoded: Decoded, answers: Sequence[Folded]) -> tuple[Notice, ...]:
        """What the client is to be warned of in a whole answer, beside what the request itself gave cause for."""
        ...

    def faults(self, decoded: Decoded, answers: Sequence[Folded]) -> Mapping[int, GatewayError]:
        """What is wrong with whole answers that are not what was asked for, by choice.

        Such an answer may not be encoded. The model may be asked for it once more.
        """
        ...

    def encode(self, decoded: Decoded, identity: Identity, answers: Sequence[Folded]) -> bytes:
        """Encode the whole answer, one `Folded` a choice, none of which has a fault."""
        ...

    def encode_stream(self, decoded: Decoded, identity: Identity) -> StreamEncoder:
        """Make the encoder of one streamed answer."""
        ...

    def encode_error(self, error: GatewayError) -> ErrorReply:
        """Encode an error that ends the request before an answer began."""
        ...


class Documents(Protocol):
    """Kept answers of one dialect, each in one piece of bytes that holds the question, too. Nobody else reads them."""

    kind: str
    """What they are, where answers are kept."""

    def id_of(self, identity: Identity) -> str:
        """The id that an answer goes by."""
        ...

    def whole(self, decoded: Decoded, identity: Identity, answers: Sequence[Folded], body: bytes) -> bytes:
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
class Pollable(Documents, Protocol):
    """Answers that can be asked for while they are being made."""

    def begun(self, decoded: Decoded, identity: Identity) -> bytes:
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
class PollableStream(StreamEncoder, Protocol):
    """The encoder of an answer that may be made in the background."""

    def queue(self) -> bytes:
        """Tell that the answer waits for its turn, before anything else is told."""
        ...

    def cancel(self) -> bytes:
        """Close what is open, and end the stream of an answer that nobody wants any more."""
        ...


class KeepingCodec(Codec, Protocol):
    """A dialect whose answers can be kept."""

    @property
    def documents(self) -> Documents:
        """How they are kept."""
        ...
