"""Connections of old, slow and half-closing clients, byte by byte."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import httpx
import pytest
from scripted import Script, ScriptedBackend, clean, ending, hangs, opening, replies, served, text
from starlette.types import Receive, Scope, Send

from dragoman.backends.base import RunRequest
from dragoman.config.loading import load
from dragoman.core.events import Event
from dragoman.server.http_protocol import HttpProtocol, ServerState
from dragoman.wiring.gateway import build
from log_lines import log_lines

_clean = pytest.fixture(autouse=True)(clean)


def _request(*, stream: bool, version: str = "1.1", close: bool = False) -> bytes:
    body = json.dumps({"messages": [{"role": "user", "content": "Say it"}], "stream": stream}).encode()
    head = f"POST /v1/chat/completions HTTP/{version}\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + (b"connection: close\r\n" if close else b"") + b"\r\n" + body


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
    try:
        yield reader, writer
    finally:
        writer.close()


def _waits_for(release: asyncio.Event, before: list[Event]) -> Script:
    """Return a script that pauses until the test continues."""

    async def script(_request: RunRequest) -> AsyncIterator[Event]:
        for event in before:
            yield event
        await release.wait()
        for event in [*([] if before else opening()), text("Hello"), *ending()]:
            yield event

    return script  # type: ignore[return-value] # an async generator


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_of_http_1_0_gets_no_chunks(stream: bool) -> None:  # noqa: FBT001
    """It cannot read them: the connection ends the response, or its length does."""
    async with served(replies("Hello")) as gateway, _connected(gateway.url) as (reader, writer):
        writer.write(_request(stream=stream, version="1.0"))
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert b"connection: close" in head.lower()
    assert (b"content-length" in head.lower()) == (not stream)
    if stream:
        assert body.startswith(b"data: {")
        assert body.endswith(b"data: [DONE]\n\n")
    else:
        assert json.loads(body)["choices"][0]["message"]["content"] == "Hello"


async def test_an_error_to_a_client_of_http_1_0() -> None:
    """It has a length."""
    async with served(replies("Hello")) as gateway, _connected(gateway.url) as (reader, writer):
        writer.write(b"GET /nothing HTTP/1.0\r\nhost: localhost\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 ")
    assert json.loads(body)["error"]["code"] == "unknown_url"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_closes_its_side_gets_its_response(stream: bool) -> None:  # noqa: FBT001
    """It has sent all it has to send. Interim responses tell that it is still there."""
    release = asyncio.Event()
    script = _waits_for(release, [])
    async with served(script) as gateway, _connected(gateway.url) as (reader, writer):
        writer.write(_request(stream=stream))
        writer.write_eof()
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        release.set()
        answer = (await reader.read()).replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"Hello" in answer
    assert b"connection: close" in answer.lower()


async def test_a_stream_goes_to_the_end_after_its_client_closed_its_side() -> None:
    """What is written to see whether the client is there is a comment of the stream."""
    release = asyncio.Event()
    script = _waits_for(release, [*opening(), text("First")])
    async with served(script) as gateway, _connected(gateway.url) as (reader, writer):
        writer.write(_request(stream=True))
        before = await reader.readuntil(b"First")
        writer.write_eof()
        between = await reader.readuntil(b"4\r\n: \n\n\r\n")
        release.set()
        answer = before + between + await reader.read()
    assert b"100 Continue" not in answer
    assert answer.endswith(b"0\r\n\r\n")
    assert b"Hello" in answer


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("begun", [False, True])
async def test_a_client_that_is_gone_ends_its_run(stream: bool, begun: bool) -> None:  # noqa: FBT001
    """A closed connection looks like a half-closed one until something is written to it."""
    before = [*opening(), text("First")] if begun else []
    async with served(hangs(after=before)) as gateway:
        async with _connected(gateway.url) as (reader, writer):
            writer.write(_request(stream=stream))
            await gateway.backend.started.wait()
            if stream and begun:
                await reader.readuntil(b"First")
        async with asyncio.timeout(20):
            await gateway.backend.ended.wait()


async def test_a_proxy_of_http_1_0_that_leaves_ends_its_run() -> None:
    """It cannot be asked whether it is there."""
    async with served(hangs()) as gateway:
        async with _connected(gateway.url) as (_, writer):
            writer.write(_request(stream=True, version="1.0"))
            await gateway.backend.started.wait()
        async with asyncio.timeout(20):
            await gateway.backend.ended.wait()


async def test_requests_before_the_end_of_input_are_all_answered() -> None:
    """Pipelined, in order."""
    async with served(replies("Hello")) as gateway, _connected(gateway.url) as (reader, writer):
        writer.write(_request(stream=False) + b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        writer.write_eof()
        answer = (await reader.read()).replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert answer.index(b"Hello") < answer.index(b'"status"')


async def test_half_a_request_and_then_the_end() -> None:
    """The client gets no response, and no run starts."""
    async with served(replies("Hello")) as gateway, _connected(gateway.url) as (reader, writer):
        writer.write(_request(stream=False)[:-5])
        writer.write_eof()
        assert await reader.read() == b""
        assert not gateway.backend.requests


class _Impatient(HttpProtocol):
    """The protocol with a short time limit."""

    head_timeout = 0.05
    unread_timeout = 0.05


class _Narrow(HttpProtocol):
    """The protocol with a small number of connections."""

    max_connections = 2


async def _app(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def _protocol() -> _Impatient:
    return _Impatient(_app, ServerState())


@pytest.mark.parametrize(
    ("sent", "answer", "end"),
    [
        (b"", b"", b""),
        (b"POST /v1/chat/completions HTTP/1.1\r\nhost: loc", b"HTTP/1.1 408 ", b"in time.\n"),
        (b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET /hea", b"HTTP/1.1 200 ", b"in time.\n"),
        (b"POST / HTTP/1.1\r\ncontent-length: 9\r\nhost: x\r\n\r\nhalf", b"HTTP/1.1 200 ", b""),
    ],
)
async def test_a_head_has_a_time_limit(sent: bytes, answer: bytes, end: bytes) -> None:
    """Also the head of a later request. A connection without a byte is closed without a word."""
    server = await asyncio.get_running_loop().create_server(_protocol, "127.0.0.1", 0)
    async with server, _connected(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as (reader, writer):
        writer.write(sent[: len(sent) // 2])
        await writer.drain()
        writer.write(sent[len(sent) // 2 :])
        if end or not sent:
            async with asyncio.timeout(20):
                received = await reader.read()
        else:
            received = await reader.readuntil(b"\r\n\r\n")
    assert received.startswith(answer)
    assert received.endswith(end)


async def test_the_limit_ends_when_the_head_has_arrived() -> None:
    """The time of the response does not count."""
    protocol = _protocol()
    server = await asyncio.get_running_loop().create_server(lambda: protocol, "127.0.0.1", 0)
    async with server, _connected(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        assert not protocol._expects_head


@asynccontextmanager
async def _connected_without_reading(port: int, request: bytes) -> AsyncIterator[socket.socket]:
    """Send a request on a socket that holds little of the response, and read nothing."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, request)
        yield client


async def test_a_client_that_does_not_read_its_stream_ends_its_run() -> None:
    """Its buffer is bounded. After the time limit the run is cancelled, and the log says why."""
    backend = ScriptedBackend(hangs(after=[*opening(), *[text("x" * 65_536)] * 200]))
    with log_lines() as logs:
        async with build(load({"port": 0, "log_level": "off"}, env_file=None), backend) as gateway:
            server = await asyncio.get_running_loop().create_server(
                lambda: _Impatient(gateway.app, ServerState()), "127.0.0.1", 0
            )
            port = server.sockets[0].getsockname()[1]
            async with server, _connected_without_reading(port, _request(stream=True)), asyncio.timeout(20):
                await backend.ended.wait()
    [ended] = [line for line in logs if line["event"] == "run.end"]
    assert (ended["status"], ended["reason"]) == ("cancelled", "client did not read")
    [access] = [line for line in logs if line["event"] == "http.request"]
    assert access["disconnect"] == "client did not read"


class _FullTransport:
    """A transport with much unsent data.

    Attributes:
        unsent: Bytes.
        aborts: How often it was aborted.
    """

    unsent = 100_000
    aborts = 0

    def get_write_buffer_size(self) -> int:
        """Return the bytes that are not sent."""
        return self.unsent

    def get_extra_info(self, _name: str) -> None:
        """Return nothing."""

    def is_closing(self) -> bool:
        """Return that it is open."""
        return False

    def abort(self) -> None:
        """Record it."""
        self.aborts += 1


async def test_a_client_that_reads_slowly_is_waited_for() -> None:
    """What counts is that it reads, not how much."""
    protocol, transport = HttpProtocol(_app, ServerState()), _FullTransport()
    protocol.connection_made(cast("asyncio.Transport", transport))
    protocol.pause_writing()
    for _ in range(3):
        transport.unsent -= 1
        protocol._check_reading()
    assert transport.aborts == 0
    protocol._check_reading()
    assert transport.aborts == 1
    protocol.connection_lost(OSError())


async def test_the_number_of_connections_is_limited() -> None:
    """One more gets an answer that says when to come again."""
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(lambda: _Narrow(_app, state), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, _connected(url) as (reader, writer), _connected(url) as (_, second):
        for kept in (writer, second):
            kept.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        async with _connected(url) as (refused, _):
            answer = await refused.read()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 5" in answer
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("head", [b"GET /" + b"a" * 2_000_000, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 400_000])
async def test_a_head_has_a_maximum_size(head: bytes) -> None:
    """It is in memory until it is complete."""
    server = await asyncio.get_running_loop().create_server(_protocol, "127.0.0.1", 0)
    async with server, _connected(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as (reader, writer):
        writer.write(head)
        answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_trailers_are_dropped() -> None:
    """They have no limit of their own, and must not become headers of the request."""
    seen: list[tuple[bytes, bytes]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        seen.extend(scope["headers"])
        await _app(scope, receive, send)

    server = await asyncio.get_running_loop().create_server(lambda: _Impatient(app, ServerState()), "127.0.0.1", 0)
    async with server, _connected(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n")
        writer.write(b"0\r\nauthorization: Bearer y\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    assert [name for name, _ in seen] == [b"host", b"transfer-encoding"]
