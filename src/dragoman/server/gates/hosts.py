"""Which `Host` a request may name. A web page that rebinds its own name to this machine names a foreign one."""

import ipaddress

from dragoman.errors import Forbidden
from dragoman.server.exchange import Exchange
from dragoman.server.replies import Reply

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class HostGate:
    """Lets through loopback names, the bound address, and names that the owner allowed.

    The bound address is also the one that the connection came in by, so that listening on all addresses works.
    """

    def __init__(self, bound: str, allowed: tuple[str, ...]) -> None:
        names = {name.lower() for name in allowed}
        self._names = _LOOPBACK | {bound.lower()} | names
        self._suffixes = tuple(name[1:] for name in names if name.startswith("*."))
        self._any = "*" in names

    def __call__(self, exchange: Exchange) -> Reply | None:
        """Check one request.

        Raises:
            Forbidden: Its `Host` is foreign.
        """
        host = hostname(exchange.headers.get(b"host", b"").decode("latin-1"))
        if self._any or host in self._names or (host and host == _local_address(exchange)):
            return None
        if self._suffixes and host.endswith(self._suffixes):
            return None
        raise Forbidden(
            f"This gateway does not answer to the host name `{host[:100]}`. Its owner can allow it: --allow-host.",
            code="host_not_allowed",
        )


def hostname(netloc: str) -> str:
    """The name in `name:port`, `[v6]:port` or either without a port, in lower case."""
    if netloc.startswith("["):
        return netloc[1:].partition("]")[0].lower()
    return netloc.partition(":")[0].lower()


def _local_address(exchange: Exchange) -> str | None:
    server = exchange.scope.get("server")
    return str(server[0]) if server else None
