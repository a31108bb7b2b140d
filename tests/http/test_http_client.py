"""The HTTP client: connections that are reused, broken, encrypted, and routed through proxies or a resolver."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from api_harness import Serve, raw_server, read_request
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dragoman.http.client import HttpClient, Timeouts
from dragoman.http.dial import Address
from dragoman.http.errors import ConnectFailed, MalformedResponse, TransportError
from dragoman.http.proxy import origin_of, proxy_for

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
BODY = b"PONG"
RESPONSE = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignore the proxies of this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def responding(response: bytes, seen: list[bytes] | None = None) -> Serve:
    """Return a server that sends the same response to every request on a connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            if seen is not None:
                seen.append(request)
            writer.write(response)
            await writer.drain()

    return serve


async def post(client: HttpClient, body: bytes = b"{}") -> bytes:
    """Send a request and return the body of the response."""
    response = await client.send(b"POST", b"/v1/messages", b"x-test: 1\r\n", body)
    async with aclosing(response):
        assert response.status == 200
        return await response.body(10_000_000)


def counts(client: HttpClient) -> tuple[int, int]:
    """Return the numbers of busy and idle connections."""
    return client.busy_count, client.idle_count


BODIES = {
    "a length": RESPONSE,
    "chunks": HEAD + b"transfer-encoding: chunked\r\n\r\n4\r\nPONG\r\n0\r\n\r\n",
    "trailers": HEAD + b"transfer-encoding: chunked\r\n\r\n4\r\nPONG\r\n0\r\nx-t: 1\r\n\r\n",
    "an interim response": b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + RESPONSE,
    "upper case": RESPONSE.replace(b"content-length", b"Content-Length"),
}


@pytest.mark.parametrize("form", BODIES)
async def test_connections_are_reused(form: str) -> None:
    """Two responses are received over one connection, whatever the form of their body."""
    async with raw_server(responding(BODIES[form])) as url, aclosing(HttpClient(url)) as client:
        for _ in range(2):
            assert await post(client) == BODY
        assert counts(client) == (0, 1)


@pytest.mark.parametrize(
    "response",
    [
        HEAD + b"connection: close\r\n\r\n" + BODY,
        RESPONSE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        RESPONSE + b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["close", "1.0", "more than one response"],
)
async def test_connections_that_cannot_be_reused_are_closed(response: bytes) -> None:
    """Each request then has its own."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(response)
        await writer.drain()

    async with raw_server(serve) as url, aclosing(HttpClient(url)) as client:
        for _ in range(2):
            assert await post(client) == BODY
        assert len(seen) == 2
        assert counts(client)[1] == 0


async def test_a_request_is_sent_again_if_the_server_closed_an_idle_connection() -> None:
    """The server closes it when the second request arrives. The caller does not notice."""
    served = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        await read_request(reader)
        writer.write(RESPONSE)
        served += 1
        await read_request(reader)

    async with raw_server(serve) as url, aclosing(HttpClient(url)) as client:
        for _ in range(3):
            assert await post(client) == BODY
        assert served == 3


async def test_an_idle_connection_that_receives_bytes_is_closed() -> None:
    """The bytes would be taken for the next response."""
    idle, closed = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(RESPONSE)
        await idle.wait()
        writer.write(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        try:
            await reader.read()
        finally:
            closed.set()

    async with raw_server(serve) as url, aclosing(HttpClient(url)) as client:
        assert await post(client) == BODY
        assert counts(client) == (0, 1)
        idle.set()
        await closed.wait()
        assert counts(client) == (0, 0)


async def test_an_expired_connection_is_not_reused() -> None:
    """It is closed, and the next request has a new one."""
    connected = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connected
        connected += 1
        await responding(RESPONSE)(reader, writer)

    async with raw_server(serve) as url, aclosing(HttpClient(url, timeouts=Timeouts(keep_alive=0.0))) as client:
        for _ in range(2):
            assert await post(client) == BODY
        assert connected == 2


async def test_connections_are_limited() -> None:
    """Further requests wait for a connection and get it."""
    seen: list[bytes] = []
    async with raw_server(responding(RESPONSE, seen)) as url, aclosing(HttpClient(url, limit=2)) as client:
        assert await asyncio.gather(*(post(client) for _ in range(9))) == [BODY] * 9
        assert len(seen) == 9
        assert counts(client) == (0, 2)


async def test_large_bodies_arrive_complete() -> None:
    """A response of 3 MB, and a request of 1 MB."""
    body = b"x" * 3_000_000
    response = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
    seen: list[bytes] = []
    async with raw_server(responding(response, seen)) as url, aclosing(HttpClient(url)) as client:
        for _ in range(2):
            assert await post(client, b"y" * 1_000_000) == body
        assert all(len(request) > 1_000_000 for request in seen)


async def test_a_body_over_the_limit_is_refused() -> None:
    """Its connection is not reused."""
    async with raw_server(responding(RESPONSE)) as url, aclosing(HttpClient(url)) as client:
        response = await client.send(b"GET", b"/")
        async with aclosing(response):
            with pytest.raises(MalformedResponse, match="too large"):
                await response.body(3)


async def test_the_path_of_the_base_url_comes_first() -> None:
    """As other gateways have it."""
    seen: list[bytes] = []
    async with raw_server(responding(RESPONSE, seen)) as url, aclosing(HttpClient(f"{url}/anthropic/")) as client:
        await post(client)
        assert seen[0].startswith(b"POST /anthropic/v1/messages HTTP/1.1\r\nhost: 127.0.0.1:")


def certificate(folder: Path) -> tuple[Path, Path]:
    """Create a self-signed certificate for `localhost` and 127.0.0.1, and return it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    paths[1].write_bytes(private)
    return paths


@pytest.fixture
def secure(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """Return the context of a TLS server, and the certificate that its clients must trust."""
    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert


async def test_tls_certificates_are_checked(
    secure: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that is not trusted is refused. `SSL_CERT_FILE` names another one to trust."""
    context, cert = secure
    async with raw_server(responding(RESPONSE), tls=context) as url:
        async with aclosing(HttpClient(url)) as client:
            with pytest.raises(ConnectFailed, match="certificate is not trusted"):
                await post(client)
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        async with aclosing(HttpClient(url)) as client:
            for _ in range(2):
                assert await post(client) == BODY
            assert counts(client) == (0, 1)


async def test_a_server_without_tls_is_refused_for_https() -> None:
    """Nothing is sent to it."""
    limits = Timeouts(connect=1.0)
    async with (
        raw_server(responding(RESPONSE)) as url,
        aclosing(HttpClient(url.replace("http:", "https:"), timeouts=limits)) as client,
    ):
        with pytest.raises(ConnectFailed, match=r"TLS failed|in time|connected to"):
            await post(client)


@asynccontextmanager
async def proxy(seen: list[bytes], response: Callable[[bytes], bytes]) -> AsyncIterator[str]:
    """Run a proxy that opens the tunnel of a `CONNECT` after its response."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        sent = response(head)
        writer.write(sent)
        if not sent.startswith(b"HTTP/1.1 200 Connection"):
            await reader.read()
            return
        host, _, port = head.split(b" ")[1].decode().rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        try:
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        finally:
            back.transport.abort()

    async with raw_server(serve) as url:
        yield url


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
        await target.drain()
    target.write_eof()


async def test_https_goes_through_a_tunnel(
    secure: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`HTTPS_PROXY` with user and password. The proxy sees the target, and nothing of the request."""
    context, cert = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    seen: list[bytes] = []
    async with (
        raw_server(responding(RESPONSE), tls=context) as url,
        proxy(seen, lambda _: b"HTTP/1.1 200 Connection established\r\n\r\n") as proxy_url,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy_url.replace("://", "://me:s%3Acret@"))
        async with aclosing(HttpClient(url, b"x-api-key: dummy\r\n")) as client:
            for _ in range(2):
                assert await post(client) == BODY
    assert len(seen) == 1
    assert seen[0].startswith(b"CONNECT 127.0.0.1:")
    assert b"Proxy-Authorization: Basic bWU6czpjcmV0" in seen[0]
    assert b"dummy" not in seen[0]


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "proxy refuses with status 407"),
        (b"nonsense\r\n\r\n", "proxy does not respond as a proxy"),
        (b"x" * 20_000, "proxy does not respond as a proxy"),
    ],
)
async def test_a_proxy_that_refuses(response: bytes, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the proxy, not the server."""
    async with proxy([], lambda _: response) as proxy_url:
        monkeypatch.setenv("HTTPS_PROXY", proxy_url)
        async with aclosing(HttpClient("https://claude.invalid")) as client:
            with pytest.raises(ConnectFailed, match=reason):
                await post(client)


async def test_plain_http_is_requested_from_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the complete URL."""
    seen: list[bytes] = []
    async with raw_server(responding(RESPONSE, seen)) as proxy_url:
        monkeypatch.setenv("http_proxy", proxy_url.replace("://", "://me:secret@"))
        async with aclosing(HttpClient("http://claude.invalid/base")) as client:
            assert await post(client) == BODY
    assert seen[0].startswith(b"POST http://claude.invalid/base/v1/messages HTTP/1.1\r\nhost: claude.invalid\r\n")
    assert b"proxy-authorization: Basic bWU6c2VjcmV0\r\n" in seen[0]


async def test_a_client_may_ignore_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `proxied=False`."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with raw_server(responding(RESPONSE)) as url, aclosing(HttpClient(url, proxied=False)) as client:
        assert await post(client) == BODY


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        ("", False),
        ("*", True),
        ("api.example", True),
        ("example", True),
        (".example", True),
        ("*.example", True),
        ("a.example, API.example", True),
        ("pi.example", False),
        ("api.example:443", True),
        ("api.example:444", False),
        ("10.0.0.0/8", False),
    ],
)
def test_no_proxy(no_proxy: str, *, direct: bool) -> None:
    """Names with all their subdomains, with and without a port."""
    environment = {"HTTPS_PROXY": "proxy.example:3128", "NO_PROXY": no_proxy}
    found = proxy_for(origin_of("https://api.example"), environment)
    assert (found is None) is direct
    if found:
        assert found.origin.authority == "proxy.example:3128"


def test_a_network_without_proxy() -> None:
    """Addresses may be named by their network."""
    environment = {"ALL_PROXY": "http://proxy.example", "no_proxy": "10.0.0.0/8,fd00::/8"}
    assert proxy_for(origin_of("http://10.1.2.3:80"), environment) is None
    assert proxy_for(origin_of("http://[fd00::1]:80"), environment) is None
    assert proxy_for(origin_of("http://11.1.2.3:80"), environment) is not None


def test_socks_proxies_are_refused_by_name() -> None:
    """Ignoring one would send the traffic another way."""
    with pytest.raises(ConnectFailed, match="socks5"):
        proxy_for(origin_of("https://api.example"), {"all_proxy": "socks5://proxy.example"})


class Resolver:
    """Resolves every name to given addresses.

    Attributes:
        names: The names that were looked up.
    """

    def __init__(self, addresses: Sequence[tuple[str, int]]) -> None:
        self.names: list[tuple[str, int]] = []
        self._addresses = [Address(socket.AF_INET, address) for address in addresses]

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        """Return the addresses."""
        self.names.append((host, port))
        return self._addresses


def port_of(url: str) -> int:
    """Return the port of a URL."""
    return int(url.rpartition(":")[2])


async def test_a_resolver_decides_the_addresses() -> None:
    """The client connects to the first that accepts, looks nothing up, and sends the name as `Host`."""
    seen: list[bytes] = []
    async with raw_server(responding(RESPONSE, seen)) as url:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            resolve = Resolver([unused.getsockname(), ("127.0.0.1", port_of(url))])
            async with aclosing(HttpClient("http://name.invalid", proxied=False, resolve=resolve)) as client:
                assert await post(client) == BODY
    assert resolve.names == [("name.invalid", 80)]
    assert b"host: name.invalid\r\n" in seen[0]


async def test_certificates_are_checked_against_the_name_not_the_address(
    secure: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver does not weaken TLS."""
    context, cert = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    async with raw_server(responding(RESPONSE), tls=context) as url:
        given: dict[str, Any] = {"proxied": False, "resolve": Resolver([("127.0.0.1", port_of(url))])}
        async with aclosing(HttpClient("https://localhost", **given)) as client:
            assert await post(client) == BODY
        async with aclosing(HttpClient("https://other.invalid", **given)) as client:
            with pytest.raises(ConnectFailed, match="certificate"):
                await post(client)


async def test_errors_of_a_resolver_reach_the_caller() -> None:
    """Unchanged, so that a refused address has its own error."""

    async def refuse(_host: str, _port: int) -> Sequence[Address]:
        raise LookupError("not allowed")

    async with aclosing(HttpClient("http://name.invalid", proxied=False, resolve=refuse)) as client:
        with pytest.raises(LookupError, match="not allowed"):
            await post(client)
        assert counts(client) == (0, 0)


async def test_a_closed_client_refuses_requests() -> None:
    """It has no connection left."""
    async with raw_server(responding(RESPONSE)) as url:
        client = HttpClient(url)
        assert await post(client) == BODY
        await client.aclose()
        with pytest.raises(TransportError, match="closing its connections"):
            await post(client)
        assert counts(client) == (0, 0)
