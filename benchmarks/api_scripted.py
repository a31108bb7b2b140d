"""A Messages API with fixed responses, as fast as Python can send them: one process, an asyncio protocol on uvloop.

Each chunk of a stream is a separate write in its own iteration of the event loop, like a model's tokens. The prompt
sets the number of chunks and the milliseconds between them with `script:CHUNKS:MILLISECONDS`. Without it, the stream
has the text of the plain response in a few chunks, for gateways that always request a stream.
"""

import asyncio
import itertools
import json
import re
from functools import cache

import uvloop

_LENGTH = re.compile(rb"(?i)\ncontent-length: *(\d+)")
_SCRIPT = re.compile(rb"script:(\d+):(\d+)")
_STREAM = re.compile(rb'"stream": ?true')
_TEXTS = ("It is", " Lake Baikal, in", " Russia, and it is", " 1,642 metres", " deep.")
_PIECE = " lake"
_ID = b"msg_01XFDUDYJgAACzvnptvVoYEL"
_numbers = itertools.count(1)


def _message(content: list[object], stop_reason: str | None, output: int) -> dict[str, object]:
    usage = {
        "input_tokens": 42,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output,
        "service_tier": "standard",
    }
    return {
        "id": _ID.decode(),
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5-5",
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }


def _next_id() -> bytes:
    return b"msg_%024d" % next(_numbers)


def _head(status: str, kind: str, rest: str) -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nrequest-id: req_011CScripted\r\n{rest}\r\n\r\n".encode()


def _json_response(status: str, value: object) -> bytes:
    body = json.dumps(value).encode()
    return _head(status, "application/json", f"content-length: {len(body)}") + body


_PLAIN = _json_response("200 OK", _message([{"type": "text", "text": "".join(_TEXTS)}], "end_turn", 20))
_NOT_FOUND = _json_response(
    "404 Not Found", {"type": "error", "error": {"type": "not_found_error", "message": "Not found"}}
)


def _event(value: dict[str, object]) -> bytes:
    """Return one event as an HTTP chunk."""
    data = f"event: {value['type']}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


@cache
def _frames(pieces: int) -> tuple[bytes, ...]:
    """Return the writes of a stream. With 0 pieces, it has the text of the plain response."""
    # All chunks differ: LiteLLM treats a hundred equal chunks as a model in an endless loop.
    texts = [f"{_PIECE} {number}" for number in range(pieces)] or _TEXTS
    start = _event({"type": "message_start", "message": _message([], None, 1)})
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    head = _head("200 OK", "text/event-stream; charset=utf-8", "transfer-encoding: chunked")
    last = (
        _event({"type": "content_block_stop", "index": 0}),
        _event({"type": "message_delta", "delta": end, "usage": {"output_tokens": len(texts)}}),
        _event({"type": "message_stop"}) + b"0\r\n\r\n",
    )
    first = head + start + _event(block) + _event({"type": "ping"})
    return (first, *map(_delta, texts), b"".join(last))


def _delta(text: str) -> bytes:
    return _event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})


class Scripted(asyncio.Protocol):
    """One connection. It responds to each complete request."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = b""
        self._request_end = 0
        self._frames: tuple[bytes, ...] = ()
        self._next_frame = 0
        self._pace = 0.0
        self._is_paused = False
        self._is_waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment] # a socket's transport writes

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """Drop the rest of the response."""
        self._transport = None

    def pause_writing(self) -> None:
        """Stop writing: the client reads too slowly."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Continue writing."""
        self._is_paused = False
        if self._is_waiting:
            self._is_waiting = False
            self._write_next()

    def data_received(self, data: bytes) -> None:
        """Read a part of a request."""
        buffer = self._buffer = self._buffer + data if self._buffer else data
        if not self._request_end:
            head = buffer.find(b"\r\n\r\n") + 4
            if head < 4:  # noqa: PLR2004 - the head is incomplete
                return
            length = _LENGTH.search(buffer, 0, head)
            self._request_end = head + (int(length[1]) if length else 0)
        if len(buffer) >= self._request_end:
            self._buffer, self._request_end = b"", 0  # clients send the next request after the response
            self._respond(buffer)

    def _respond(self, request: bytes) -> None:
        if self._transport is None:
            return
        if not request.startswith(b"POST /v1/messages"):
            self._transport.write(_NOT_FOUND)
        elif not _STREAM.search(request):
            self._transport.write(_PLAIN)
        else:
            script = _SCRIPT.search(request)
            self._frames = _frames(int(script[1]) if script else 0)
            self._pace = int(script[2]) / 1000 if script else 0.0
            self._next_frame = 0
            self._write_next()

    def _write_next(self) -> None:
        """Write the next chunk, and schedule the one after it."""
        if self._transport is None:
            return
        if self._is_paused:
            self._is_waiting = True
            return
        frame = self._frames[self._next_frame]
        # A client may take two messages with one id for one message.
        self._transport.write(frame if self._next_frame else frame.replace(_ID, _next_id(), 1))
        self._next_frame += 1
        if self._next_frame == len(self._frames):
            return
        if self._pace:
            self._loop.call_later(self._pace, self._write_next)
        else:
            self._loop.call_soon(self._write_next)


async def main() -> None:
    """Serve until terminated. The first line of output is the port."""
    server = await asyncio.get_running_loop().create_server(Scripted, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
