"""The server on loopback owns its connections: it leaves none open, whatever the other side does."""

import asyncio
import gc
import socket

import httpx
import pytest
from gateways import TIMEOUT, with_timeout

from dragoman.backends.claude_code.loopback_api import LoopbackApi
from dragoman.backends.claude_code.loopback_server import LoopbackServer


def connect(url: str) -> socket.socket:
    """Connect to a server and send nothing."""
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=TIMEOUT)


@pytest.mark.parametrize("sent", [b"", b"POST / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n{"])
@pytest.mark.parametrize("ends", ["client first", "server first"])
async def test_a_client_that_sends_half_a_request(sent: bytes, ends: str) -> None:
    """Its connection is closed with the server, or before: no socket is left to the garbage collector."""
    async with LoopbackApi() as api, httpx.AsyncClient(trust_env=False) as http:
        client = connect(api.url)
        client.sendall(sent)
        if ends == "client first":
            client.close()
        assert (await http.post(api.url, json={})).status_code == 200  # the server has accepted both by now
    with client:
        if ends == "server first":
            assert await asyncio.to_thread(_read, client) == b""
    gc.collect()  # a socket that is left would warn


def _read(client: socket.socket) -> bytes:
    try:
        return client.recv(1)
    except ConnectionResetError:
        return b""


async def test_close_ends_the_handlers() -> None:
    """A handler that waits is cancelled, and has ended when `aclose` returns."""
    serving, ended = asyncio.Event(), asyncio.Event()

    async def handle(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        serving.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    server = LoopbackServer(handle)
    await server.start()
    with connect(server.url) as client:
        await with_timeout(serving.wait())
        await server.aclose()
        assert ended.is_set()
        assert await asyncio.to_thread(_read, client) == b""
    await server.aclose()


async def test_a_fault_of_a_handler_is_seen() -> None:
    """It reaches the event loop's handler of exceptions."""
    seen: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: seen.append(context["exception"]))
    fault = RuntimeError("fault")

    async def handle(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        raise fault

    server = LoopbackServer(handle)
    await server.start()
    with connect(server.url) as client:
        assert await asyncio.to_thread(_read, client) == b""
    await server.aclose()
    assert seen == [fault]
