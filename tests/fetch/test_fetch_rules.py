"""What may be fetched, told from the URL and from the address."""

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
def test_urls_that_are_never_fetched_from_public_hosts(url: str) -> None:
    """Other schemes, other ports, passwords."""
    with pytest.raises(FetchFailed) as caught:
        Rules().check(URL(url))
    assert caught.value.code == "url_not_allowed"


@pytest.mark.parametrize("url", ["http://a.example/x", "https://a.example/x", "https://a.example:80/", "http://[::1]/"])
def test_urls_that_are_looked_up(url: str) -> None:
    """Whether the address will do is seen when it is connected to."""
    Rules().check(URL(url))


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
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
def test_patterns(pattern: str, inside: str, outside: str) -> None:
    """Names, names under one, ports, addresses."""
    rules = Rules([pattern])
    rules.check(URL(inside))
    with pytest.raises(FetchFailed, match="--fetch-urls"):
        rules.check(URL(outside))


@pytest.mark.parametrize("text", ["", "*", "http://a.example", "a.example/x", "a b", "a.*.example", "a:b", "on!"])
def test_what_is_no_pattern(text: str) -> None:
    """Said with what to write instead."""
    with pytest.raises(ValueError, match=r"\*\.example\.com"):
        HostPattern.parse(text)


def test_addresses() -> None:
    """Public ones, and those that stand on the list as addresses, each with its port; names add none."""
    assert Rules().admits("1.1.1.1", 443)
    assert not Rules().admits("127.0.0.1", 80)
    listed = Rules(["127.0.0.1:81", "localhost", "*.0.0.2"])
    assert listed.admits("1.1.1.1", 443)
    assert listed.admits("127.0.0.1", 81)
    assert not listed.admits("127.0.0.1", 80)
    assert not listed.admits("127.0.0.2", 80)
    assert not listed.admits("localhost", 80)
