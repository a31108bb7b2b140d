"""The client's address behind proxies."""

from typing import cast

import pytest
from starlette.types import Scope

from dragoman.server.forwarded import ForwardedHeaders


def _applied(trusted: str | None, sender: str, *headers: tuple[bytes, bytes]) -> tuple[tuple[str, int], str]:
    scope: Scope = {"client": (sender, 5), "scheme": "http", "headers": headers}
    ForwardedHeaders(trusted).apply(scope)
    return cast("tuple[str, int]", scope["client"]), cast("str", scope["scheme"])


@pytest.mark.parametrize(
    ("trusted", "sender", "sent", "client"),
    [
        (None, "127.0.0.1", b"9.9.9.9", ("9.9.9.9", 0)),
        (None, "127.0.0.1", b"9.9.9.9:80", ("9.9.9.9", 80)),
        (None, "127.0.0.1", b"[2001:db8::1]:80", ("2001:db8::1", 80)),
        (None, "127.0.0.1", b"[2001:db8::1]", ("2001:db8::1", 0)),
        (None, "127.0.0.1", b"2001:db8::1", ("2001:db8::1", 0)),
        (None, "127.0.0.1", b"[broken", ("[broken", 0)),
        (None, "127.0.0.1", b"host:port", ("host:port", 0)),
        (None, "127.0.0.1", b"", ("127.0.0.1", 5)),
        (None, "127.0.0.1", b"1.1.1.1, 9.9.9.9, 127.0.0.1", ("9.9.9.9", 0)),
        (None, "8.8.8.8", b"9.9.9.9", ("8.8.8.8", 5)),
        ("10.0.0.0/8, 8.8.8.8", "8.8.8.8", b"9.9.9.9, 10.2.3.4", ("9.9.9.9", 0)),
        ("10.0.0.0/8", "10.1.1.1", b"10.2.3.4, 10.2.3.5", ("10.2.3.4", 0)),
        ("*", "8.8.8.8", b"9.9.9.9, 7.7.7.7", ("9.9.9.9", 0)),
    ],
)
def test_the_client_is_the_last_address_that_is_no_proxy(
    trusted: str | None, sender: str, sent: bytes, client: tuple[str, int]
) -> None:
    """Only a trusted proxy is believed. If all addresses are proxies, the first one is the client."""
    assert _applied(trusted, sender, (b"x-forwarded-for", sent))[0] == client


def test_several_lines_are_one_list() -> None:
    """In their order."""
    lines = ((b"x-forwarded-for", b"1.1.1.1"), (b"x-forwarded-for", b"9.9.9.9"))
    assert _applied(None, "127.0.0.1", *lines)[0] == ("9.9.9.9", 0)


@pytest.mark.parametrize(("sent", "scheme"), [(b"https", "https"), (b"ftp", "http")])
def test_the_scheme_of_the_client(sent: bytes, scheme: str) -> None:
    """Only the schemes of HTTP."""
    assert _applied(None, "127.0.0.1", (b"x-forwarded-proto", sent)) == (("127.0.0.1", 5), scheme)
