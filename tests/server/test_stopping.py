"""A server that stops: which connections it still serves, which it closes, and when it gives up."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from scripted import MESSAGES, clean, in_sequence, pauses, replies, served
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from dragoman.server.http_server import Server, listen
from log_lines import log_lines

_clean = pytest.fixture(autouse=True)(clean)

_GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
_CHAT = "/v1/chat/completions"
_BODY = {"model": "sonnet", "messages": MESSAGES}


class _Gateway:
    """An application that answers at once, and connects to itself while it stops.

    Attributes:
        port: Where it is served.
        connects: How many connections it makes when the stop is announced, while the event loop cannot take them.
        sends: Whether a request is sent then on all connections.
        hangs: Whether its drain lasts until there is no grace.
        fails: Whether each stage fails.
        connected: These connections, and others of the test.
        closed: Set when the listening socket is closed.
        announced: Set when the connections are made.
        draining: Set when it is drained.
        drained: With how many seconds it was drained, each time.
    """

    def __init__(self, *, connects: int = 0, sends: bool = True, hangs: bool = False, fails: bool = False) -> None:
        self.port = 0
        self.connects, self.sends, self.hangs, self.fails = connects, sends, hangs, fails
        self.connected: list[socket.socket] = []
        self.announced, self.closed, self.draining = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.drained: list[float] = []

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        await PlainTextResponse("served")(scope, receive, send)

    async def announce_stop(self) -> None:
        """Connect, and send on all connections. The kernel accepts for a listening socket."""
        for _ in range(self.connects):
            self.connected.append(socket.create_connection(("127.0.0.1", self.port)))
        for connection in self.connected if self.sends else ():
            connection.sendall(_GET)
        self.announced.set()
        self._fail()

    async def hand_over(self) -> None:
        """Take note of the time."""
        self.closed.set()
        self._fail()

    async def drain(self, grace: float) -> None:
        """Take note of the grace."""
        self.drained.append(grace)
        self.draining.set()
        if self.hangs and grace:
            await asyncio.Event().wait()
        self._fail()

    def _fail(self) -> None:
        if self.fails:
            raise OSError("The disk is full.")


@asynccontextmanager
async def _serving(gateway: _Gateway, grace: float = 600.0) -> AsyncIterator[Server]:
    """Serve a gateway. At the end, wait until the server has stopped."""
    sock = listen("127.0.0.1", 0)
    gateway.port = sock.getsockname()[1]
    server = Server(gateway.app, gateway, grace)
    serving = asyncio.create_task(server.serve([sock]))
    yield server
    async with asyncio.timeout(60):
        await serving
    for connection in gateway.connected:
        connection.close()


async def _read(connection: socket.socket) -> bytes:
    """Return what comes until the other side closes the connection."""
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_a_connection_that_waits_is_served() -> None:
    """It was not taken yet when the server stopped. The next one is refused."""
    gateway = _Gateway(connects=20)
    async with _serving(gateway) as server:
        server.stop()
        await gateway.announced.wait()
        answers = [await _read(connection) for connection in gateway.connected]
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", gateway.port)
    assert len(answers) == 20
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert all(b"connection: close" in answer.lower() for answer in answers)


@pytest.mark.parametrize("first", [b"", _GET[:9]])
async def test_a_request_that_comes_late_is_served(first: bytes) -> None:
    """Its connection was taken before, or its head was half there. The response closes the connection."""
    gateway = _Gateway(connects=1, sends=False)
    async with _serving(gateway) as server:
        server.stop()
        await gateway.announced.wait()
        (connection,) = gateway.connected
        connection.sendall(first)
        await gateway.closed.wait()
        connection.sendall(_GET[len(first) :])
        answer = await _read(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer.lower()


async def test_a_request_on_an_idle_connection_is_served_if_it_has_arrived() -> None:
    """It had not been read when the server stopped."""
    gateway = _Gateway()
    async with _serving(gateway) as server:
        connection = socket.create_connection(("127.0.0.1", gateway.port))
        gateway.connected.append(connection)
        connection.sendall(_GET)
        connection.setblocking(False)
        answer = b""
        while b"served" not in answer:
            answer += await asyncio.get_running_loop().sock_recv(connection, 1000)
        server.stop()
        second = await _read(connection)
    assert second.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in second.lower()


async def test_an_idle_connection_is_closed() -> None:
    """Its last request was answered before."""
    gateway = _Gateway()
    async with _serving(gateway) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(_GET)
        assert await reader.readuntil(b"served")
        server.stop()
        assert await reader.read() == b""
        writer.close()
    assert len(gateway.drained) == 1


async def test_a_new_connection_without_a_request_is_closed_when_the_grace_is_over() -> None:
    """It does not keep the server."""
    gateway = _Gateway(connects=1, sends=False)
    async with _serving(gateway, grace=0.0) as server:
        server.stop()
        await gateway.announced.wait()
        (connection,) = gateway.connected
        assert await _read(connection) == b""
    assert gateway.drained == [0.0]


async def test_a_second_signal_ends_what_has_no_connection() -> None:
    """Such as a background response, for which the gateway gives the rest of the grace."""
    gateway = _Gateway(hangs=True)
    async with _serving(gateway) as server:
        server.stop()
        await gateway.draining.wait()
        server.stop()
    first, second = gateway.drained
    assert (0 < first <= 600.0, second) == (True, 0.0)


async def test_an_error_while_the_gateway_stops_loses_no_request() -> None:
    """Such as one of the database, at each stage. It is logged."""
    gateway = _Gateway(connects=1, fails=True)
    with log_lines() as logs:
        async with _serving(gateway) as server:
            server.stop()
            await gateway.announced.wait()
            (connection,) = gateway.connected
            answer = await _read(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert [line["event"] for line in logs] == ["server.stop_failed"] * 3


async def test_a_terminal_that_is_closed_is_no_hurry() -> None:
    """The gateway may get its signal twice: from the system, and from the shell."""
    gateway = _Gateway(hangs=True)
    async with _serving(gateway, grace=600.0) as server:
        server.hang_up()
        await gateway.draining.wait()
        server.hang_up()
        await asyncio.sleep(0)
        assert len(gateway.drained) == 1
        server.stop()
    assert len(gateway.drained) == 2


async def test_runs_begin_until_the_last_request_has_ended() -> None:
    """A request whose connection was taken before the stop gets its response while another one still runs."""
    proceed = asyncio.Event()
    async with served(in_sequence(pauses(proceed), replies("Late")), shutdown_grace=600.0) as gateway:
        running = asyncio.create_task(gateway.http.post(_CHAT, json=_BODY))
        await gateway.backend.started.wait()
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(gateway.url).port)
        gateway.server.stop()
        await gateway.closed.wait()
        request = gateway.http.build_request("POST", _CHAT, json=_BODY)
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        writer.write(f"POST {_CHAT} HTTP/1.1\r\n{head}\r\n".encode() + request.content)
        late = await reader.read()
        writer.close()
        proceed.set()
        answer = await running
    assert late.startswith(b"HTTP/1.1 200 ")
    assert b"Late" in late
    assert answer.json()["choices"][0]["message"]["content"] == "Hello"
