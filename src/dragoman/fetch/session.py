"""An HTTP client that connects to admitted addresses only."""

import asyncio
import socket
from concurrent.futures import Executor
from functools import partial
from importlib.metadata import version

from aiohttp import AddrInfoType, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from dragoman.fetch.base import FetchFailed
from dragoman.fetch.rules import Rules

PARALLEL = 8
"""Connections at once for one request."""


def open_session(rules: Rules, threads: Executor) -> ClientSession:
    """Make a client for one request; whoever makes it closes it.

    It knows no proxy, cookie or password, follows no redirect by itself, and has no time limit of its own.

    Args:
        rules: Where it may connect to.
        threads: Look names up.
    """

    def checked_socket(info: AddrInfoType) -> socket.socket:
        """Make a socket for the very address that is connected to; no name is looked up after this."""
        family, kind, proto, _, address = info
        if not rules.admits(str(address[0]), int(address[1])):
            raise _not_public()
        return socket.socket(family, kind, proto)

    connector = TCPConnector(
        resolver=_CheckedResolver(rules, threads),
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

    def __init__(self, rules: Rules, threads: Executor) -> None:
        self._rules = rules
        self._threads = threads

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Look a name up."""
        try:
            look_up = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        except (OSError, UnicodeError):
            raise _not_public() from None
        if not found or not all(self._rules.admits(str(address[0]), int(address[1])) for *_, address in found):
            raise _not_public()
        return [_result(host, info) for info in found]

    async def close(self) -> None:
        """Nothing is held."""


def _result(name: str, info: AddrInfoType) -> ResolveResult:
    family, _, proto, _, address = info
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    host, port = str(address[0]), int(address[1])
    return ResolveResult(hostname=name, host=host, port=port, family=family, proto=proto, flags=flags)


def _not_public() -> FetchFailed:
    """One text for names that do not exist and names that are not public, so that nobody learns which are which."""
    return FetchFailed("The host of the URL has no public address.", code="url_not_allowed")
