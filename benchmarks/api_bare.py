"""A bare translator, to compare with: what the same libraries can do without keys, limits, records, checks and a log.

Each client connection has one connection to the API. It is written for the benchmark's requests alone.
"""

import asyncio
import re
import sys
from typing import Any

import msgspec
import uvloop

_LENGTH = re.compile(rb"(?i)\ncontent-length: *(\d+)")
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_API_HEAD = (
    b"POST /v1/messages HTTP/1.1\r\nhost: api\r\nx-api-key: k\r\ncontent-type: application/json\r\ncontent-length: "
)
_HEALTHY = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

_decode, _encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode


class _Api(asyncio.Protocol):
    """The connection to the API."""

    def __init__(self, client: "_Client") -> None:
        self._client = client
        self._received = b""
        self._is_stream = False
        self.transport: Any = None  # a socket's transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def send(self, body: dict[str, Any]) -> None:
        """Send a request."""
        self._is_stream = body["stream"]
        encoded = _encode(body)
        self.transport.write(_API_HEAD + b"%d\r\n\r\n" % len(encoded) + encoded)
        if self._is_stream:
            self._client.transport.write(_STREAM_HEAD)

    def data_received(self, data: bytes) -> None:
        data = self._received + data
        self._received = b""
        if not self._is_stream:
            self._plain(data)
            return
        *lines, self._received = data.split(b"\n")
        out = [self._chunk(_decode(line[6:])) for line in lines if line.startswith(b"data: ")]
        self._client.transport.write(b"".join(out))

    def _plain(self, data: bytes) -> None:
        end = data.find(b"\r\n\r\n") + 4
        length = _LENGTH.search(data, 0, end)
        if length is None or len(data) < end + int(length[1]):
            self._received = data
            return
        message = _decode(data[end:])
        choice = {"index": 0, "message": {"role": "assistant", "content": message["content"][0]["text"]}}
        usage = message["usage"]
        counts = {"prompt_tokens": usage["input_tokens"], "completion_tokens": usage["output_tokens"]}
        body = _encode({"object": "chat.completion", "choices": [{**choice, "finish_reason": "stop"}], "usage": counts})
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        self._client.transport.write(head + body)

    def _chunk(self, event: dict[str, Any]) -> bytes:
        if event["type"] == "message_stop":
            return b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
        if event["type"] != "content_block_delta":
            return b""
        choice = {"index": 0, "delta": {"content": event["delta"]["text"]}}
        data = b"data: " + _encode({"object": "chat.completion.chunk", "choices": [choice]}) + b"\n\n"
        return b"%x\r\n%b\r\n" % (len(data), data)


class _Client(asyncio.Protocol):
    """The connection of a client."""

    def __init__(self, api_port: int) -> None:
        self._api_port = api_port
        self._parts: list[bytes] = []
        self._missing = 0
        self._api: _Api | None = None
        self.transport: Any = None  # a socket's transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        if self._api is not None:
            self._api.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)
        if not self._missing:
            if data.startswith(b"GET"):
                self._parts.clear()
                self.transport.write(_HEALTHY)
                return
            head = data.find(b"\r\n\r\n") + 4
            length = _LENGTH.search(data, 0, head)
            self._missing = head + (int(length[1]) if length else 0)
        self._missing -= len(data)
        if not self._missing:
            raw = b"".join(self._parts)
            self._parts.clear()
            body = _translated(_decode(raw[raw.find(b"\r\n\r\n") + 4 :]))
            if self._api is None:
                asyncio.get_running_loop().create_task(self._connect(body))
            else:
                self._api.send(body)

    async def _connect(self, body: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        _, self._api = await loop.create_connection(lambda: _Api(self), "127.0.0.1", self._api_port)
        self._api.send(body)


def _translated(chat: dict[str, Any]) -> dict[str, Any]:
    messages = [_message(message) for message in chat["messages"] if message["role"] != "system"]
    system = [message["content"] for message in chat["messages"] if message["role"] == "system"]
    tools = [
        {"name": one["name"], "description": one["description"], "input_schema": one["parameters"]}
        for one in (tool["function"] for tool in chat.get("tools", ()))
    ]
    limits = {"model": chat["model"], "max_tokens": chat["max_tokens"], "stream": chat["stream"]}
    return {**limits, "system": "".join(system), "messages": messages, **({"tools": tools} if tools else {})}


def _message(message: dict[str, Any]) -> dict[str, Any]:
    role, content = message["role"], message["content"]
    if role == "tool":
        result = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": content}
        return {"role": "user", "content": [result]}
    if "tool_calls" in message:
        calls = [(call["id"], call["function"]) for call in message["tool_calls"]]
        content = [
            {"type": "tool_use", "id": id_, "name": called["name"], "input": _decode(called["arguments"])}
            for id_, called in calls
        ]
    return {"role": role, "content": content}


async def main() -> None:
    """Serve until terminated."""
    port, api_port = map(int, sys.argv[1:])
    server = await asyncio.get_running_loop().create_server(lambda: _Client(api_port), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
