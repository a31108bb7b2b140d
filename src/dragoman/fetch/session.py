"""An HTTP client that connects to admitted addresses only."""

import socket
from importlib.metadata import version

from aiohttp import AddrInfoType, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from dragoman.fetch.base import FetchFailed
from dragoman.fetch.rules import Rules

PARALLEL = 8
"""Connections at once for one request."""


def open_session(rules: Rules) -> ClientSession:
    """Make a client for one request; whoever makes it closes it.

    It knows no proxy, cookie or password, follows no redirect by itself, and has no time limit of its own.
    """

    def checked_socket(info: AddrInfoType) -> socket.socket:
        """Make a socket for the very address that is connected to; no name is looked up after this."""
        family, kind, proto, _, address = info
        if not rules.admits(str(address[0]), int(address[1])):
            raise _not_public()
        return socket.socket(family, kind, proto)

    connector = TCPConnector(
        resolver=_CheckedResolver(rules),
        socket_factory=checked_socket,
        limit=PARALLEL,
        use_dns_cache=False,
        force_close=True,
    )
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        headers={"Accept-Encoding": "identity", "User-Agent": f"dragoman/{version('dragoman')}"},
        auto_decompress=False,
        timeout=ClientTimeout(total=None),
        trust_env=False,
    )


class _CheckedResolver(AbstractResolver):
    """Looks names up, and refuses those of which any address is not admitted: such a name was made to deceive."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Look a name up."""
        try:
            found = await self._resolver.resolve(host, port, family)
        except (OSError, UnicodeError):
            raise _not_public() from None
        if not found or not all(self._rules.admits(result["host"], result["port"]) for result in found):
            raise _not_public()
        return found

    async def close(self) -> None:
        """Nothing is held."""


def _not_public() -> FetchFailed:
    """One text for names that do not exist and names that are not public, so that nobody learns which are which."""
    return FetchFailed("The host of the URL has no public address.", code="url_not_allowed")
