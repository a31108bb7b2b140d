"""A Messages API that answers from memory, as fast as Python can: one process, a bare protocol on uvloop.

Each piece of a streamed answer is written by itself, in its own turn of the loop, as a model's words come. How many
pieces, and how many milliseconds lie between two, stands in the question as `script:PIECES:MILLISECONDS`; without it,
the words of the plain answer come in a few pieces, for gateways that always ask for a stream.
"""

import asyncio
import json
import re
from functools import cache

import uvloop

_LENGTH = re.compile(rb"(?i)\ncontent-length: *(\d+)")
_SCRIPT = re.compile(rb"script:(\d+):(\d+)")
_STREAM = re.compile(rb'"stream": ?true')
_WORDS = ("It is", " Lake Baikal, in", " Russia, and it is", " 1,642 metres", " deep.")
_PIECE = " lake"
_ID = "msg_01XFDUDYJgAACzvnptvVoYEL"


def _message(content: list[object], stop_reason: str | None, output: int) -> dict[str, object]:
    usage = {
        "input_tokens": 42,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output,
        "service_tier": "standard",
    }
    return {
        "id": _ID,
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5-5",
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }


def _head(status: str, kind: str, rest: str) -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nrequest-id: req_011CScripted\r\n{rest}\r\n\r\n".encode()


def _whole(status: str, value: object) -> bytes:
    body = json.dumps(value).encode()
    return _head(status, "application/json", f"content-length: {len(body)}") + body


_PLAIN = _whole("200 OK", _message([{"type": "text", "text": "".join(_WORDS)}], "end_turn", 20))
_LOST = _whole("404 Not Found", {"type": "error", "error": {"type": "not_found_error", "message": "Not found"}})


def _event(value: dict[str, object]) -> bytes:
    """One event, framed as a chunk of its own."""
    data = f"event: {value['type']}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


@cache
def _frames(pieces: int) -> tuple[bytes, ...]:
    """What is written, write by write; without a number, the usual answer."""
    # Each another one: LiteLLM takes a hundred equal pieces for a model that is caught in a loop.
    words = [f"{_PIECE} {number}" for number in range(pieces)] or _WORDS
    start = _event({"type": "message_start", "message": _message([], None, 1)})
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    head = _head("200 OK", "text/event-stream; charset=utf-8", "transfer-encoding: chunked")
    last = (
        _event({"type": "content_block_stop", "index": 0}),
        _event({"type": "message_delta", "delta": end, "usage": {"output_tokens": len(words)}}),
        _event({"type": "message_stop"}) + b"0\r\n\r\n",
    )
    first = head + start + _event(block) + _event({"type": "ping"})
    return (first, *map(_delta, words), b"".join(last))


def _delta(text: str) -> bytes:
    return _event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})


class Scripted(asyncio.Protocol):
    """One connection: answers each request when it is whole."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = b""
        self._end = 0
        self._frames: tuple[bytes, ...] = ()
        self._at = 0
        self._pace = 0.0
        self._full = False
        self._waits = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = transport  # type: ignore[assignment] # a socket's transport writes

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """It is gone, and with it what is still to be said."""
        self._transport = None

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._full = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self._full = False
        if self._waits:
            self._waits = False
            self._say()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        buffer = self._buffer = self._buffer + data if self._buffer else data
        if not self._end:
            head = buffer.find(b"\r\n\r\n") + 4
            if head < 4:  # noqa: PLR2004 - the head is not whole
                return
            length = _LENGTH.search(buffer, 0, head)
            self._end = head + (int(length[1]) if length else 0)
        if len(buffer) >= self._end:
            self._buffer, self._end = b"", 0  # nobody asks before the answer before has come
            self._answer(buffer)

    def _answer(self, request: bytes) -> None:
        if self._transport is None:
            return
        if not request.startswith(b"POST /v1/messages"):
            self._transport.write(_LOST)
        elif not _STREAM.search(request):
            self._transport.write(_PLAIN)
        else:
            script = _SCRIPT.search(request)
            self._frames = _frames(int(script[1]) if script else 0)
            self._pace = int(script[2]) / 1000 if script else 0.0
            self._at = 0
            self._say()

    def _say(self) -> None:
        """Write the next piece, and come back for the one after it."""
        if self._transport is None:
            return
        if self._full:
            self._waits = True
            return
        self._transport.write(self._frames[self._at])
        self._at += 1
        if self._at == len(self._frames):
            return
        if self._pace:
            self._loop.call_later(self._pace, self._say)
        else:
            self._loop.call_soon(self._say)


async def main() -> None:
    """Serve until ended; the port is said on the first line."""
    server = await asyncio.get_running_loop().create_server(Scripted, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
