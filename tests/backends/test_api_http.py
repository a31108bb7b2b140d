"""The direct backend's own HTTP client: connections that are kept, broken, secured and led through proxies."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from api_harness import HEAD, WHOLE, Serve, backend_at, connections, pong, raw_server, read_request
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from runtime_harness import ask

from dragoman.core import errors
from dragoman.http.errors import ConnectFailed
from dragoman.http.proxy import origin_of, proxy_for

ANSWER = HEAD + b"content-length: %d\r\n\r\n" % len(WHOLE) + WHOLE


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of this machine has a say."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def answering(answer: bytes, seen: list[bytes] | None = None) -> Serve:
    """A server that says the same to every request on a connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            if seen is not None:
                seen.append(request)
            writer.write(answer)
            await writer.drain()

    return serve


BODIES = {
    "a length": ANSWER,
    "chunks": HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(WHOLE) + WHOLE + b"\r\n0\r\n\r\n",
    "trailers": HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(WHOLE) + WHOLE + b"\r\n0\r\nx-t: 1\r\n\r\n",
    "an interim response": b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + ANSWER,
    "upper case": ANSWER.replace(b"content-length", b"Content-Length"),
}


@pytest.mark.parametrize("form", BODIES)
async def test_bodies_of_every_form_keep_the_connection(form: str) -> None:
    """Two answers come over one connection."""
    async with raw_server(answering(BODIES[form])) as url, backend_at(url, retries=0) as backend:
        for _ in range(2):
            assert (await ask(backend, pong())).said == "PONG"
        assert connections(backend) == {"busy": 0, "idle": 1}


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"connection: close\r\n\r\n" + WHOLE,
        ANSWER.replace(b"HTTP/1.1", b"HTTP/1.0"),
        ANSWER + b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["close", "1.0", "more than was asked for"],
)
async def test_a_connection_that_cannot_be_kept_is_not(answer: bytes) -> None:
    """Each answer then comes over its own."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(answer)
        await writer.drain()

    async with raw_server(serve) as url, backend_at(url, retries=0) as backend:
        for _ in range(2):
            assert (await ask(backend, pong())).said == "PONG"
        assert len(seen) == 2
        assert connections(backend)["idle"] == 0


async def test_a_kept_connection_that_was_closed_meanwhile_costs_nothing() -> None:
    """The server hangs up when it is asked again: the request goes out anew, and nobody is told."""
    served = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        await read_request(reader)
        writer.write(ANSWER)
        served += 1
        await read_request(reader)

    async with raw_server(serve) as url, backend_at(url, retries=0) as backend:
        for _ in range(3):
            assert (await ask(backend, pong())).said == "PONG"
        assert served == 3


async def test_a_connection_on_which_something_comes_unasked_is_dropped() -> None:
    """Whatever it is, it would be taken for the next answer."""
    idle, gone = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(ANSWER)
        await idle.wait()
        writer.write(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        try:
            await reader.read()
        finally:
            gone.set()

    async with raw_server(serve) as url, backend_at(url, retries=0) as backend:
        assert (await ask(backend, pong())).said == "PONG"
        assert connections(backend) == {"busy": 0, "idle": 1}
        idle.set()
        await gone.wait()
        assert connections(backend) == {"busy": 0, "idle": 0}


async def test_no_more_connections_than_the_limit() -> None:
    """Who comes later waits for one, and gets it."""
    seen: list[bytes] = []
    async with raw_server(answering(ANSWER, seen)) as url, backend_at(url, max_connections=2) as backend:
        answers = await asyncio.gather(*(ask(backend, pong()) for _ in range(9)))
        assert [answer.said for answer in answers] == ["PONG"] * 9
        assert len(seen) == 9
        assert connections(backend) == {"busy": 0, "idle": 2}


async def test_a_large_answer_waits_for_its_reader() -> None:
    """Megabytes in one event, a megabyte of request: all of both arrive."""
    word = b"x" * 3_000_000
    whole = WHOLE.replace(b"PONG", word)
    answer = HEAD + b"content-length: %d\r\n\r\n" % len(whole) + whole
    request = pong()
    request.body["system"] = [{"type": "text", "text": "y" * 1_000_000}]
    seen: list[bytes] = []
    async with raw_server(answering(answer, seen)) as url, backend_at(url, retries=0) as backend:
        for _ in range(2):
            assert (await ask(backend, request)).said.encode() == word
        assert all(len(request) > 1_000_000 for request in seen)


async def test_a_path_of_the_address_comes_first() -> None:
    """As gateways of others have it."""
    seen: list[bytes] = []
    async with raw_server(answering(ANSWER, seen)) as url, backend_at(f"{url}/anthropic/", retries=0) as backend:
        await ask(backend, pong())
        assert seen[0].startswith(b"POST /anthropic/v1/messages HTTP/1.1\r\nhost: 127.0.0.1:")


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of its own making for `localhost` and 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
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
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    paths[1].write_bytes(private)
    return paths


@pytest.fixture
def secure(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """What a TLS server needs, and the certificate that its clients have to trust."""
    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert


async def test_tls_is_checked(secure: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that nobody trusts is refused; `SSL_CERT_FILE` names one more to trust."""
    context, cert = secure
    async with raw_server(answering(ANSWER), tls=context) as url:
        async with backend_at(url, retries=0) as backend:
            with pytest.raises(errors.UpstreamFailed, match="certificate is not trusted"):
                await ask(backend, pong())
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        async with backend_at(url, retries=0) as backend:
            for _ in range(2):
                assert (await ask(backend, pong())).said == "PONG"
            assert connections(backend) == {"busy": 0, "idle": 1}


async def test_no_tls_where_it_is_wanted() -> None:
    """A server that speaks plain HTTP is not spoken to."""
    secured = {"retries": 0, "connect_timeout": 1.0}
    async with (
        raw_server(answering(ANSWER)) as url,
        backend_at(url.replace("http:", "https:"), **secured) as backend,
    ):
        with pytest.raises(errors.UpstreamFailed, match=r"TLS failed|in time|connected to"):
            await ask(backend, pong())


@asynccontextmanager
async def proxy(seen: list[bytes], answer: Callable[[bytes], bytes]) -> AsyncIterator[str]:
    """A proxy that leads `CONNECT` to where it is asked to, once it has answered as it is told."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        said = answer(head)
        writer.write(said)
        if not said.startswith(b"HTTP/1.1 200 Connection"):
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
    """`HTTPS_PROXY` with a name and a password: the proxy sees where to, and nothing of what is said."""
    context, cert = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    seen: list[bytes] = []
    async with (
        raw_server(answering(ANSWER), tls=context) as url,
        proxy(seen, lambda _: b"HTTP/1.1 200 Connection established\r\n\r\n") as way,
    ):
        monkeypatch.setenv("HTTPS_PROXY", way.replace("://", "://me:s%3Acret@"))
        async with backend_at(url, retries=0) as backend:
            for _ in range(2):
                assert (await ask(backend, pong())).said == "PONG"
    assert len(seen) == 1
    assert seen[0].startswith(b"CONNECT 127.0.0.1:")
    assert b"Proxy-Authorization: Basic bWU6czpjcmV0" in seen[0]
    assert b"dummy" not in seen[0]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "proxy refuses with status 407"),
        (b"nonsense\r\n\r\n", "does not answer as one"),
        (b"x" * 20_000, "does not answer as one"),
    ],
)
async def test_a_proxy_that_refuses(said: bytes, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the proxy that is named, not Claude."""
    async with proxy([], lambda _: said) as way:
        monkeypatch.setenv("HTTPS_PROXY", way)
        async with backend_at("https://claude.invalid", retries=0) as backend:
            with pytest.raises(errors.UpstreamFailed, match=words):
                await ask(backend, pong())


async def test_plain_http_is_asked_of_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its whole URL."""
    seen: list[bytes] = []
    async with raw_server(answering(ANSWER, seen)) as way:
        monkeypatch.setenv("http_proxy", way.replace("://", "://me:secret@"))
        async with backend_at("http://claude.invalid/base", retries=0) as backend:
            assert (await ask(backend, pong())).said == "PONG"
    assert seen[0].startswith(b"POST http://claude.invalid/base/v1/messages HTTP/1.1\r\nhost: claude.invalid\r\n")
    assert b"proxy-authorization: Basic bWU6c2VjcmV0\r\n" in seen[0]


@pytest.mark.parametrize(
    ("listed", "direct"),
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
def test_no_proxy(listed: str, *, direct: bool) -> None:
    """Names with all below them, with and without a port."""
    environment = {"HTTPS_PROXY": "proxy.example:3128", "NO_PROXY": listed}
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


def test_socks_is_refused_by_name() -> None:
    """It is not passed by silently: the traffic would leave by another door."""
    with pytest.raises(ConnectFailed, match="socks5"):
        proxy_for(origin_of("https://api.example"), {"all_proxy": "socks5://proxy.example"})
