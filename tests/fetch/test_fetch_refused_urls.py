"""URLs that are refused or cannot be fetched, whether directly or by a name or a redirect."""

import datetime as dt
import socket
from ipaddress import IPv4Address
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fetch_site import Page, fetch_error, fetcher_for, image, make_fetcher, png, redirect, serve_site, source

NOT_ALLOWED = ("url_not_allowed", "p")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "https://127.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[fe80::1%25lo]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://0.0.0.0/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://0x7f.1/",
        "http://0x7f000001/",
    ],
)
async def test_internal_addresses_are_refused(url: str) -> None:
    """A URL is refused if the address to connect to is not public."""
    assert await fetch_error(make_fetcher(), image(url)) == NOT_ALLOWED


@pytest.mark.parametrize("url", ["http://2130706433/", "http://127.1/"])
async def test_legacy_address_forms_are_invalid(url: str) -> None:
    """A host in an old form of an IPv4 address is invalid. It is not looked up."""
    assert await fetch_error(make_fetcher(), image(url)) == ("invalid_url", "p")


async def test_a_listed_name_does_not_allow_its_internal_address() -> None:
    """A name on the list is refused if it resolves to an internal address that is not on the list."""
    async with serve_site() as site:
        url = site.url("/a", host="localhost")
        assert await fetch_error(make_fetcher(f"localhost:{site.port}"), image(url)) == NOT_ALLOWED
    assert site.requests == []


async def test_a_listed_name_and_its_listed_address_are_allowed() -> None:
    """An operator can allow an internal host by name, if its address is listed too."""
    async with serve_site() as site:
        site.pages["/a"] = Page(png())
        found = image(site.url("/a", host="localhost"))
        await make_fetcher(f"localhost:{site.port}", f"127.0.0.1:{site.port}")([found])
    assert source(found)["type"] == "base64"
    assert f"host: localhost:{site.port}" in site.requests[0].lower()


@pytest.mark.parametrize("host", ["127.0.0.2", "localhost", "169.254.169.254", "a.example"])
async def test_redirects_to_other_hosts_are_refused(host: str) -> None:
    """The target of a redirect is checked by the same rules."""
    async with serve_site() as site:
        site.pages |= {"/a": redirect(site.url("/b", host=host)), "/b": Page(png())}
        assert await fetch_error(fetcher_for(site), image(site.url("/a"))) == NOT_ALLOWED
    assert len(site.requests) == 1


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/", "http://u:p@127.0.0.1/", "data:image/png,"])
async def test_redirects_to_other_schemes_are_refused(to: str) -> None:
    """A redirect to another scheme, or to a URL with a password, is refused."""
    async with serve_site() as site:
        site.pages["/a"] = redirect(to)
        assert await fetch_error(fetcher_for(site), image(site.url("/a"))) == NOT_ALLOWED


async def test_a_listed_port_does_not_allow_other_ports() -> None:
    """If an address is listed with a port, its other ports are refused."""
    async with serve_site() as site, serve_site() as other:
        assert await fetch_error(fetcher_for(site), image(other.url())) == NOT_ALLOWED
    assert other.requests == []


async def test_closed_port() -> None:
    """A host that refuses the connection is unreachable."""
    with socket.socket() as not_listening:
        not_listening.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{not_listening.getsockname()[1]}"
        assert await fetch_error(make_fetcher(host), image(f"http://{host}/")) == ("url_unreachable", "p")


@pytest.mark.parametrize("url", ["http://[::1/", "http://a.example:port/", f"http://{'a' * 64}.example/"])
async def test_malformed_urls(url: str) -> None:
    """URLs with malformed brackets, ports or labels are refused."""
    code, param = await fetch_error(make_fetcher(), image(url))
    assert code in {"invalid_url", "url_not_allowed"}
    assert param == "p"


async def test_response_that_is_not_http() -> None:
    """A server whose response is not valid HTTP counts as unreachable."""
    async with serve_site() as site:
        site.pages["/a"] = Page(status="hello")
        assert await fetch_error(fetcher_for(site), image(site.url("/a"))) == ("url_unreachable", "p")


async def test_self_signed_certificate(tmp_path: Path) -> None:
    """A server with an untrusted certificate counts as unreachable, and gets no request."""
    async with serve_site(_self_signed(tmp_path)) as site:
        site.pages["/a"] = Page(png())
        assert await fetch_error(fetcher_for(site), image(site.url("/a"))) == ("url_unreachable", "p")
    assert site.requests == []


def _self_signed(directory: Path) -> SSLContext:
    """Return a server's TLS context with a new self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    alternative = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    certificate = builder.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    pem = directory / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
