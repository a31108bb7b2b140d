"""Rules that decide from a URL, and from an address, what may be fetched."""

import pytest
from yarl import URL

from dragoman.fetch.base import FetchFailed
from dragoman.fetch.rules import HostPattern, Rules


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/x",
        "file:///etc/passwd",
        "//a.example/x",
        "http:///x",
        "/x",
        "http://a.example:22/",
        "http://a.example:0/",
        "https://a.example:8443/",
        "http://user@a.example/",
        "http://user:word@a.example/",
        "http://:word@a.example/",
    ],
)
def test_refused_urls(url: str) -> None:
    """URLs with other schemes, other ports or credentials are refused by default."""
    with pytest.raises(FetchFailed) as caught:
        Rules().check(URL(url))
    assert caught.value.code == "url_not_allowed"


@pytest.mark.parametrize("url", ["http://a.example/x", "https://a.example/x", "https://a.example:80/", "http://[::1]/"])
def test_accepted_urls(url: str) -> None:
    """These URLs pass. An address in a URL is checked later, by `admits`, before the connection."""
    Rules().check(URL(url))


@pytest.mark.parametrize(
    ("pattern", "match", "no_match"),
    [
        ("A.example", "https://a.EXAMPLE./x", "https://b.a.example/"),
        ("a.example", "http://a.example/", "http://a.example:8080/"),
        ("*.a.example", "https://b.c.a.example/", "https://a.example/"),
        ("*.a.example", "https://b.a.example/", "https://ba.example/"),
        ("a.example:8443", "https://a.example:8443/", "https://a.example/"),
        ("*.a.example:8443", "https://b.a.example:8443/", "https://b.a.example/"),
        ("127.0.0.1", "http://127.0.0.1/", "http://127.0.0.2/"),
        ("127.0.0.1:81", "http://127.0.0.1:81/", "http://localhost:81/"),
        ("[::1]:81", "http://[0:0::1]:81/", "http://[::2]:81/"),
        ("*.1", "http://a.1/", "http://127.0.0.1/"),
    ],
)
def test_host_patterns(pattern: str, match: str, no_match: str) -> None:
    """A pattern may be a name, a wildcard for subdomains, or an address, each with or without a port."""
    rules = Rules([pattern])
    rules.check(URL(match))
    with pytest.raises(FetchFailed, match="--fetch-urls"):
        rules.check(URL(no_match))


@pytest.mark.parametrize("text", ["", "*", "http://a.example", "a.example/x", "a b", "a.*.example", "a:b", "on!"])
def test_invalid_patterns(text: str) -> None:
    """The error shows a valid pattern."""
    with pytest.raises(ValueError, match=r"\*\.example\.com"):
        HostPattern.parse(text)


def test_admitted_addresses() -> None:
    """Public addresses and listed addresses are admitted, with their ports. Listed names admit no address."""
    assert Rules().admits("1.1.1.1", 443)
    assert not Rules().admits("127.0.0.1", 80)
    listed = Rules(["127.0.0.1:81", "localhost", "*.0.0.2"])
    assert listed.admits("1.1.1.1", 443)
    assert listed.admits("127.0.0.1", 81)
    assert not listed.admits("127.0.0.1", 80)
    assert not listed.admits("127.0.0.2", 80)
    assert not listed.admits("localhost", 80)
