"""Addresses that are not to be reached, whichever way a URL leads there."""

import datetime as dt
import socket
from ipaddress import IPv4Address
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fetch_site import Page, allowed, fetcher, image, moved, png, refused, site, source

REFUSED = ("url_not_allowed", "p")


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
async def test_no_url_leads_inside(url: str) -> None:
    """Checked on the address that would be connected to."""
    assert await refused(fetcher(), image(url)) == REFUSED


@pytest.mark.parametrize("url", ["http://2130706433/", "http://127.1/"])
async def test_odd_forms_of_addresses_are_no_hosts(url: str) -> None:
    """They are not even looked up."""
    assert await refused(fetcher(), image(url)) == ("invalid_url", "p")


async def test_a_name_on_the_list_does_not_open_an_address() -> None:
    """`localhost` may be fetched from, says the list, but it leads to an address that is not on it."""
    async with site() as place:
        url = place.url("/a", host="localhost")
        assert await refused(fetcher(f"localhost:{place.port}"), image(url)) == REFUSED
    assert place.asked == []


async def test_a_name_and_its_address_on_the_list() -> None:
    """So an owner can open a host of the own network, by name."""
    async with site() as place:
        place.pages["/a"] = Page(png())
        found = image(place.url("/a", host="localhost"))
        await fetcher(f"localhost:{place.port}", f"127.0.0.1:{place.port}")([found])
    assert source(found)["type"] == "base64"
    assert f"host: localhost:{place.port}" in place.asked[0].lower()


@pytest.mark.parametrize("host", ["127.0.0.2", "localhost", "169.254.169.254", "a.example"])
async def test_redirects_lead_nowhere_else(host: str) -> None:
    """Each stop is held to the same rules."""
    async with site() as place:
        place.pages |= {"/a": moved(place.url("/b", host=host)), "/b": Page(png())}
        assert await refused(allowed(place), image(place.url("/a"))) == REFUSED
    assert len(place.asked) == 1


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/", "http://u:p@127.0.0.1/", "data:image/png,"])
async def test_redirects_to_other_kinds_of_urls(to: str) -> None:
    """Neither do they leave the web."""
    async with site() as place:
        place.pages["/a"] = moved(to)
        assert await refused(allowed(place), image(place.url("/a"))) == REFUSED


async def test_another_port_of_an_admitted_address() -> None:
    """An address with its port is just that."""
    async with site() as place, site() as other:
        assert await refused(allowed(place), image(other.url())) == REFUSED
    assert other.asked == []


async def test_nobody_there() -> None:
    """A closed port."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{unheard.getsockname()[1]}"
        assert await refused(fetcher(host), image(f"http://{host}/")) == ("url_unreachable", "p")


@pytest.mark.parametrize("url", ["http://[::1/", "http://a.example:port/", f"http://{'a' * 64}.example/"])
async def test_urls_that_are_none(url: str) -> None:
    """Brackets, ports and labels that cannot be."""
    code, param = await refused(fetcher(), image(url))
    assert code in {"invalid_url", "url_not_allowed"}
    assert param == "p"


async def test_what_is_no_http() -> None:
    """Whatever answers there, it is no web site."""
    async with site() as place:
        place.pages["/a"] = Page(status="hello")
        assert await refused(allowed(place), image(place.url("/a"))) == ("url_unreachable", "p")


async def test_a_certificate_that_nobody_signed(tmp_path: Path) -> None:
    """Https means that it is the host itself that speaks."""
    async with site(_self_signed(tmp_path)) as place:
        place.pages["/a"] = Page(png())
        assert await refused(allowed(place), image(place.url("/a"))) == ("url_unreachable", "p")
    assert place.asked == []


def _self_signed(directory: Path) -> SSLContext:
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
