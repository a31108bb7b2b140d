"""The fuzzed parsers: each takes any bytes, raises nothing but its documented errors, and keeps what it promises."""

import asyncio
import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import msgspec
from proof_message import judge

from dragoman.backends.anthropic.clouds.event_stream import EventStreamDecoder
from dragoman.backends.anthropic.reader import StreamReader
from dragoman.backends.shared.message_reader import MessageReader
from dragoman.config.loading import BadSettings, load
from dragoman.core.catalog import Catalog
from dragoman.core.errors import GatewayError
from dragoman.core.json_text import replace_half_characters
from dragoman.core.media import image_size, is_complete_image
from dragoman.core.redaction import Redactor
from dragoman.dialects.base import DialectOptions, ErrorResponse
from dragoman.dialects.chat.dialect import ChatDialect
from dragoman.dialects.completions.dialect import CompletionsDialect
from dragoman.dialects.messages.dialect import MessagesDialect
from dragoman.dialects.responses.dialect import ResponsesDialect
from dragoman.dialects.responses.stored import StoredResponses
from dragoman.dialects.shared.media_blocks import document_block, image_block
from dragoman.dialects.shared.sealing import ReasoningCipher
from dragoman.http.response import IncomingResponse
from dragoman.http.sse import InvalidFrame, SseDecoder
from dragoman.server.content_coding import body_decoder
from dragoman.server.paths import known_path
from dragoman.stores.crypto import KEY_BYTES, Cipher

_SECRET = "sk-ant-fuzz-3f9c2b7d1e8a4056"
_LIMIT = 1 << 20
_CODINGS = (b"gzip", b"deflate", b"br", b"zstd", b"gzip, br", b"deflate, zstd", b"x-gzip, gzip", b"identity", b"foo")
_SETTINGS = (
    "upstreams",
    "keys",
    "model_aliases",
    "models",
    "allow_host",
    "fetch_urls",
    "max_request_bytes",
    "store_ttl",
)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, GatewayError, KeyError, TypeError, AttributeError)
"""What a document that is not one of ours may raise. The request fails then."""
_KNOWN_BLOCKS = frozenset({"text", "thinking", "tool_use"})
_KNOWN_DELTAS = frozenset({"text_delta", "thinking_delta", "input_json_delta", "signature_delta"})


class _Decodes(Protocol):
    """A dialect, as far as it reads."""

    def decode(self, raw: bytes) -> object: ...
    def encode_error(self, error: GatewayError) -> ErrorResponse: ...


def _split(data: bytes) -> tuple[bytes, list[bytes]]:
    """Return the input without its first byte, whole and in pieces of the size that the first byte gives."""
    size, body = (data[0] % 17 + 1 if data else 1), data[1:]
    return body, [body[start : start + size] for start in range(0, len(body), size)]


def sse(data: bytes) -> None:
    """The events do not depend on the pieces, and are those of a slow reading of the specification."""
    body, pieces = _split(data)
    events = _sse_events(pieces)
    assert events == _sse_events([body] if body else [])
    lines = re.split(rb"\r\n|\r|\n", body.removeprefix(b"\xef\xbb\xbf"))
    expected, values = [], []
    for line in lines[:-1]:
        if line.startswith(b"data:"):
            values.append(line[5:].removeprefix(b" "))
        elif not line:
            expected += [b"\n".join(values)] if any(values) or len(values) > 1 else []
            values = []
    assert [event for event in events if event] == expected


def _sse_events(pieces: Sequence[bytes]) -> list[bytes]:
    decoder = SseDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


def stream(data: bytes) -> None:
    """A stream that ends as success obeys the grammar, and its events do not depend on the pieces."""
    body, pieces = _split(data)
    reader, events = _read_stream(pieces)
    other, others = _read_stream([body] if body else [])
    assert reader.is_complete == other.is_complete
    assert (reader.failure is None) == (other.failure is None)
    assert [event.raw for event in events] == [event.raw for event in others]
    if reader.is_complete and reader.failure is None:
        values = [event.raw for event in events]
        if all(_is_known(value) for value in values):
            assert judge(values, feature="text").kind != "invalid", values


def _read_stream(pieces: Sequence[bytes]) -> tuple[StreamReader, list[Any]]:
    reader, events = StreamReader(), []
    for piece in [*pieces, b""]:
        if reader.failure is None and not reader.is_complete:
            events += reader.feed(piece)
    return reader, events


def _is_known(event: Any) -> bool:
    block, delta = event.get("content_block"), event.get("delta")
    return (block is None or block.get("type") in _KNOWN_BLOCKS) and (
        event["type"] != "content_block_delta" or delta.get("type") in _KNOWN_DELTAS
    )


def http_response(data: bytes) -> None:
    """A response that is not HTTP ends with an error, and a complete one has a final status."""
    _, pieces = _split(data)
    completed: list[bool] = []

    async def read() -> IncomingResponse:
        response = IncomingResponse(lambda: completed.append(True))
        for piece in pieces:
            response.feed(piece)
        response.end_of_stream(clean=True)
        return response

    response = asyncio.run(read())  # it has timers
    assert len(completed) == response.complete
    assert not response.complete or 200 <= response.status <= 999


def images(data: bytes) -> None:
    """An image of any bytes has a size or none, and becomes a block or is refused."""
    image_size(data)
    is_complete_image(data)
    _refuses(lambda: image_block(f"data:image/png;base64,{base64.b64encode(data).decode()}", "p"))
    _refuses(lambda: document_block(base64.b64encode(data).decode(), None, "p"))


def base64_text(data: bytes) -> None:
    """A text becomes a block whose data is base64, or is refused."""
    text = data.decode(errors="replace")
    for block in (_refuses(lambda: image_block(text, "p")), _refuses(lambda: document_block(text, None, "p"))):
        source: Any = block["source"] if block else {}
        if source.get("type") == "base64":
            base64.b64decode(source["data"], validate=True)


def content_coding(data: bytes) -> None:
    """A compressed body is decoded within its limit, or refused."""
    body, pieces = _split(data)
    coding = _CODINGS[body[0] % len(_CODINGS)] if body else b"gzip"
    size = 0

    def decode() -> None:
        nonlocal size
        if decoder := body_decoder(coding, _LIMIT):
            for piece in pieces:
                size += sum(map(len, decoder.feed(piece)))
            decoder.finish()

    _refuses(decode)
    assert size <= _LIMIT


def runtime_frames(data: bytes) -> None:
    """The frames of the runtime end a turn, or raise what ends the process."""
    reader = MessageReader(frozenset({"look_up"}))
    for line in data.split(b"\n"):
        try:
            frame = msgspec.json.decode(line)
            if isinstance(frame, dict):
                list(reader.feed(frame))
        except (KeyError, TypeError, ValueError, AttributeError, GatewayError):
            return  # `ChildProcess` ends the process
    reader.process_failed("it ended")
    assert reader.outcome != "open"


def event_stream(data: bytes) -> None:
    """Frames of AWS are decoded, or are invalid."""
    _, pieces = _split(data)
    decoder = EventStreamDecoder()
    try:
        for piece in pieces:
            decoder.feed(piece)
    except InvalidFrame:
        pass


def stored_documents(data: bytes) -> None:
    """A damaged document is refused, and what is not our own encryption is not opened."""
    stored = StoredResponses(None)
    for read in (stored.view, stored.is_background, lambda document: stored.history([document])):
        with suppress(*_UNREADABLE):
            read(data)
    cipher = Cipher(bytes(KEY_BYTES))
    assert cipher.decrypt(data, "name") is None
    text = data.decode(errors="replace")
    assert ReasoningCipher(cipher).decrypt_thought(text) is None
    assert ReasoningCipher(cipher).decrypt_summary(text) is None


def config_values(data: bytes) -> None:
    """A value of a setting is read, or refused with a text."""
    name = _SETTINGS[data[0] % len(_SETTINGS)] if data else _SETTINGS[0]
    try:
        load({name: data[1:].decode(errors="replace").replace("\0", "")}, env_file=None)
    except BadSettings as error:
        refused = str(error)
        assert refused


def _decodes(dialect: _Decodes) -> Callable[[bytes], None]:
    def target(data: bytes) -> None:
        """A request is decoded, or refused with an error of the dialect."""
        try:
            dialect.decode(data)
        except GatewayError as error:
            kind, body = type(error), dialect.encode_error(error).body
            assert body
            assert kind is not GatewayError

    return target


def redaction(data: bytes) -> None:
    """No text shows a known secret, wherever it is."""
    text = data.decode(errors="replace")
    place = len(text) // 2
    redacted = Redactor([_SECRET]).text(f"{text[:place]}{_SECRET}{text[place:]}")
    assert _SECRET not in redacted


def half_characters(data: bytes) -> None:
    """JSON with half characters is decoded, with U+FFFD in their places."""
    text = data[: len(data) & ~1].decode("utf-16-le", "surrogatepass")
    encoded = json.dumps({"a": text}).encode()
    decoded = msgspec.json.decode(replace_half_characters(encoded))
    assert decoded == {"a": re.sub("[\ud800-\udfff]", "\ufffd", text)}


def paths(data: bytes) -> None:
    """Any path is known or not."""
    known_path(data.decode("latin-1"))


def _refuses(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except GatewayError:
        return None


_OPTIONS = DialectOptions(stores_responses=True, cipher=ReasoningCipher(Cipher(bytes(KEY_BYTES))))

TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "sse": sse,
    "stream": stream,
    "http_response": http_response,
    "images": images,
    "base64": base64_text,
    "content_coding": content_coding,
    "runtime_frames": runtime_frames,
    "event_stream": event_stream,
    "stored": stored_documents,
    "config": config_values,
    "chat": _decodes(ChatDialect(Catalog, _OPTIONS)),
    "responses": _decodes(ResponsesDialect(Catalog, _OPTIONS)),
    "messages": _decodes(MessagesDialect(Catalog)),
    "completions": _decodes(CompletionsDialect(Catalog, _OPTIONS)),
    "redaction": redaction,
    "half_characters": half_characters,
    "paths": paths,
}
"""The parsers. Each raises if a promise is broken."""
