"""What every dialect implements: `Dialect`, `StreamEncoder`, and `StoredFormat` for responses that can be stored.

A dialect is shared between requests. It keeps nothing of them but what is found by their own bytes: see
`dragoman.core.content_cache`. A stream encoder belongs to one response. All bytes that they return are ready to be
sent.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import field
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

import msgspec

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.catalog import Resolved
from dragoman.core.errors import GatewayError, UpstreamFailed
from dragoman.core.events import BlockDelta, BlockStart, BlockStop, MessageDelta, MessageEvent, MessageStart
from dragoman.core.media import Placed
from dragoman.core.messages import DEFAULT_REQUEST_OPTIONS, Block, JSONObject, MessagesRequest, RequestOptions
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.shared import sse
from dragoman.dialects.shared.sealing import ReasoningCipher

_WITH_ARGUMENTS = frozenset({"tool_use", "server_tool_use"})

Headers: TypeAlias = Mapping[bytes, bytes]
"""The headers of a request, by lower-case name."""

NO_HEADERS: Headers = MappingProxyType({})


@value_object
class DialectOptions:
    """The operator's settings for the dialects.

    Attributes:
        strict_parameters: Refuse unknown fields instead of ignoring them.
        max_choices: The largest `n`.
        strict_mapping: Refuse a value that can only be mapped to a similar one.
        stores_responses: Whether responses can be stored.
        cipher: Encrypts the reasoning that clients carry; without it they receive none.
    """

    strict_parameters: bool = False
    max_choices: int = 8
    strict_mapping: bool = False
    stores_responses: bool = False
    cipher: ReasoningCipher | None = None


@value_object(kw_only=True)
class StorageOptions:
    """How a response is to be stored.

    Attributes:
        requested: Whether the client itself asked for it. If so, the run continues when the client disconnects.
        background: Whether the client does not wait for the response.
        parent: The id of the stored response that this one continues.
        metadata: The client's own labels of the response.
    """

    requested: bool = False
    background: bool = False
    parent: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@value_object(kw_only=True)
class DecodedRequest:
    """A decoded request. Dialects add the fields that they need to encode the response.

    Attributes:
        body: The canonical request.
        resolved: The model that will respond, and the name that the client used for it.
        stream: Whether the client wants server-sent events.
        choices: The number of responses that the client wants.
        warnings: What was ignored, clamped or mapped.
        media: The images and documents in the body. Those with a `url` source may still have to be fetched.
        request_options: What the client asks for outside the body.
        storage: How the response is to be stored; None: it is not stored.
    """

    body: MessagesRequest
    resolved: Resolved
    stream: bool = False
    choices: int = 1
    warnings: tuple[RequestWarning, ...] = ()
    media: tuple[Placed, ...] = ()
    request_options: RequestOptions = DEFAULT_REQUEST_OPTIONS
    storage: StorageOptions | None = None

    def body_for(self, choice: int) -> MessagesRequest:  # noqa: ARG002 - most dialects have one body for all choices
        """Return the canonical request of one choice."""
        return self.body


Request = TypeVar("Request", bound=DecodedRequest)
_Request_contra = TypeVar("_Request_contra", bound=DecodedRequest, contravariant=True)


@value_object
class ResponseIdentity:
    """What the id and the time of a response are made from.

    Attributes:
        run_id: The run's id, `run_` and 32 hexadecimal digits. Ids of the dialect are made from its digits.
        created: Seconds since 1970.
    """

    run_id: str
    created: int


@value_object
class ErrorResponse:
    """An error as a dialect encodes it: HTTP status and JSON body."""

    status: int
    body: bytes


class StreamEncoder(ABC):
    """Encodes the events of one response, of one or more choices, as server-sent events.

    The base class owns the order of events, the open block of each choice, usage, and the end: after `finish`, `fail`
    or a failure of its own, nothing more is encoded. Dialects override the `on_...` hooks, which return whole
    server-sent events, or nothing.

    Events must have passed through a `MessageAccumulator`, which sets the finished blocks and the accumulated message.

    Attributes:
        heartbeat: Sent while the model is silent. Clients ignore it.
        separate_events: Whether each event needs a write of its own: some clients parse each read as one event.
        failure: What ended the stream instead of a response: the error given to `fail`, or a failure of its own.
        response_body: The same response as plain JSON, once the stream has built it; None if it does not build one.
    """

    heartbeat: ClassVar[bytes] = sse.HEARTBEAT
    separate_events: ClassVar[bool] = False

    def __init__(self, choices: int = 1) -> None:
        self.failure: GatewayError | None = None
        self.response_body: bytes | None = None
        self._ended = False
        self._open_types: list[str] = [""] * choices  # the type of the open block, by choice
        self._has_arguments = [False] * choices
        self._usage: list[Mapping[str, object]] = [{}] * choices
        self._unended: list[AccumulatedMessage | None] = [None] * choices  # messages before `on_message_end`
        self._has_ended = [False] * choices

    def feed(self, event: MessageEvent, choice: int = 0) -> bytes:
        """Encode one event of one choice."""
        encoded = b""
        if self._ended:
            return encoded
        try:
            if type(event) is BlockDelta:  # the most frequent event: no calls but the hook's
                delta: Any = event.raw["delta"]
                block_type = self._open_types[choice]
                delta_type = delta["type"]
                if delta_type == "text_delta" and block_type == "text":
                    if text := delta["text"]:
                        encoded = self.on_text(choice, text)
                elif delta_type == "thinking_delta" and block_type == "thinking":
                    if text := delta["thinking"]:
                        encoded = self.on_thinking(choice, text)
                elif delta_type == "input_json_delta" and block_type in _WITH_ARGUMENTS and delta["partial_json"]:
                    self._has_arguments[choice] = True
                    encoded = self.on_arguments(choice, delta["partial_json"])
            else:
                encoded = self._feed_other(event, choice)
        except UpstreamFailed as error:
            return self.fail(error)
        return encoded

    def finish(self) -> bytes:
        """End the stream after the last event."""
        if self._ended:
            return b""
        self._ended = True
        return self.on_finish()

    def fail(self, error: GatewayError) -> bytes:
        """Close what is open, send the error in a form that the dialect's clients raise on, and end the stream."""
        if self._ended:
            return b""
        self._ended = True
        self.failure = error
        return self.close_open_parts() + self.on_error(error)

    def on_message_start(self, choice: int, message: JSONObject) -> bytes:  # noqa: ARG002 - a hook
        """Encode the start of a message."""
        return b""

    def on_block_start(self, choice: int, block: Block) -> bytes:  # noqa: ARG002 - a hook
        """Encode the start of a block. Text or thinking in it follows as `on_text` or `on_thinking`."""
        return b""

    def on_text(self, choice: int, text: str) -> bytes:  # noqa: ARG002 - a hook
        """Encode a piece of text, never empty."""
        return b""

    def on_thinking(self, choice: int, text: str) -> bytes:  # noqa: ARG002 - a hook
        """Encode a piece of thinking, never empty."""
        return b""

    def on_arguments(self, choice: int, json_text: str) -> bytes:  # noqa: ARG002 - a hook
        """Encode a piece of a tool call's arguments, never empty. Called at least once for each `tool_use` block."""
        return b""

    def on_block_stop(self, choice: int, block: Block) -> bytes:  # noqa: ARG002 - a hook
        """Encode the end of a block, given the finished block."""
        return b""

    def on_message_end(self, choice: int, accumulated: AccumulatedMessage) -> bytes:  # noqa: ARG002 - a hook
        """Encode the stop reason and the final usage. Called once for each message, when its stop reason is known.

        Raises:
            UpstreamFailed: The response is not what the client asked for. The stream ends with this error.
        """
        return b""

    def on_message_stop(self, choice: int) -> bytes:  # noqa: ARG002 - a hook
        """Encode the end of a message."""
        return b""

    def on_finish(self) -> bytes:
        """Encode the end of the stream."""
        return b""

    def close_open_parts(self) -> bytes:
        """Close the parts that are open when the response breaks off."""
        return b""

    @abstractmethod
    def on_error(self, error: GatewayError) -> bytes:
        """Encode an error that ends the stream."""

    def _feed_other(self, event: MessageEvent, choice: int) -> bytes:
        match event:
            case BlockStart(raw=raw):
                return self._start_block(choice, cast("Block", raw["content_block"]))
            case BlockStop(block=block):
                return self._stop_block(choice, block or {})
            case MessageStart(raw=raw):
                message = cast("JSONObject", raw["message"])
                self._usage[choice] = cast("JSONObject", message.get("usage") or {})
                self._has_ended[choice] = False
                return self.on_message_start(choice, message)
            case MessageDelta(accumulated=accumulated):
                if accumulated is None:
                    return b""
                self._usage[choice] = cast("Mapping[str, object]", accumulated.message.get("usage") or {})
                self._unended[choice] = accumulated
                # Without a stop reason it reports usage only, and another one follows.
                return b"" if accumulated.message.get("stop_reason") is None else self._end_message(choice)
            case _:
                return self._end_message(choice) + self.on_message_stop(choice)

    def _end_message(self, choice: int) -> bytes:
        """Encode the end of a message once: clients read one finish reason."""
        accumulated, self._unended[choice] = self._unended[choice], None
        if accumulated is None or self._has_ended[choice]:
            return b""
        self._has_ended[choice] = True
        return self.on_message_end(choice, accumulated)

    def _start_block(self, choice: int, block: Block) -> bytes:
        self._open_types[choice] = block_type = str(block.get("type"))
        self._has_arguments[choice] = False
        started = self.on_block_start(choice, block)
        if block_type == "text" and (text := cast("str", block.get("text"))):
            return started + self.on_text(choice, text)
        if block_type == "thinking" and (text := cast("str", block.get("thinking"))):
            return started + self.on_thinking(choice, text)
        return started

    def _stop_block(self, choice: int, block: Block) -> bytes:
        encoded = b""
        if self._open_types[choice] == "tool_use" and not self._has_arguments[choice]:
            encoded = self.on_arguments(choice, msgspec.json.encode(block.get("input") or {}).decode())
        self._open_types[choice] = ""
        return encoded + self.on_block_stop(choice, block)


class BackgroundStreamEncoder(StreamEncoder):
    """The encoder of a response that can be generated in the background."""

    @abstractmethod
    def queue(self) -> bytes:
        """Encode that the response waits in the queue, before any other event."""

    def cancel(self) -> bytes:
        """Close what is open, and end the stream of a cancelled response, also when it had finished unsent."""
        self._ended = True
        return self.close_open_parts() + self.on_cancel()

    @abstractmethod
    def on_cancel(self) -> bytes:
        """Encode the end of a cancelled response."""


class Dialect(Protocol[Request]):
    """One dialect."""

    def decode(self, raw: bytes, headers: Headers = NO_HEADERS) -> Request:
        """Decode a request.

        Args:
            raw: Its body.
            headers: Its headers. Some dialects read a few of them.

        Raises:
            InvalidRequest: With the field's name in `param`.
            NotFound: The model does not exist.
        """
        ...

    def response_warnings(self, request: Request, answers: Sequence[AccumulatedMessage]) -> tuple[RequestWarning, ...]:
        """Return the warnings about a whole response, in addition to those of the request."""
        ...

    def invalid_choices(self, request: Request, answers: Sequence[AccumulatedMessage]) -> Mapping[int, GatewayError]:
        """Return the error of each choice that is not what the client asked for, by choice.

        Such a response may not be encoded. The model may be asked for it once more.
        """
        ...

    def encode(self, request: Request, identity: ResponseIdentity, answers: Sequence[AccumulatedMessage]) -> bytes:
        """Encode the whole response, from one accumulated message per choice, all of them valid."""
        ...

    def encode_stream(self, request: Request, identity: ResponseIdentity) -> StreamEncoder:
        """Return the encoder of one streamed response."""
        ...

    def encode_error(self, error: GatewayError) -> ErrorResponse:
        """Encode an error that ends the request before a response began."""
        ...


class StoredFormat(Protocol[_Request_contra]):
    """The documents in which a dialect stores its responses, with the request. Only the dialect reads them."""

    kind: str
    """The `kind` of the entries in the response store."""

    def response_id(self, identity: ResponseIdentity) -> str:
        """Return the id of a response."""
        ...

    def completed(
        self,
        request: _Request_contra,
        identity: ResponseIdentity,
        answers: Sequence[AccumulatedMessage],
        body: bytes,
    ) -> bytes:
        """Return the document of a completed response; `body` is the encoded response."""
        ...

    def view(self, document: bytes, include: Sequence[str] = ()) -> bytes:
        """Return the response as its client sees it.

        Args:
            document: The document.
            include: Optional parts that the client wants, as the dialect names them.
        """
        ...


@runtime_checkable
class BackgroundFormat(StoredFormat[_Request_contra], Protocol[_Request_contra]):
    """Documents of responses that can be retrieved while they are generated."""

    def queued(self, request: _Request_contra, identity: ResponseIdentity) -> bytes:
        """Return the document of a queued response."""
        ...

    def in_progress(self, document: bytes) -> bytes:
        """Return the document of a response in progress, given its queued document."""
        ...

    def failed(self, document: bytes, error: GatewayError, body: bytes | None = None) -> bytes:
        """Return the document of a failed response.

        Args:
            document: Its earlier document.
            error: Why it failed.
            body: The response, as it was sent; None: nothing was sent since the earlier document.
        """
        ...

    def cancelled(self, document: bytes) -> bytes:
        """Return the document of a cancelled response, given its earlier document."""
        ...

    def final_event(self, document: bytes, number: int) -> bytes:
        """Return the event that ends the stream of a failed response whose encoder is lost.

        Args:
            document: The failed document.
            number: The sequence number of the event.
        """
        ...


class StoringDialect(Dialect[Request], Protocol[Request]):
    """A dialect whose responses can be stored."""

    @property
    def stored_format(self) -> StoredFormat[Request]:
        """The format of its stored responses."""
        ...
