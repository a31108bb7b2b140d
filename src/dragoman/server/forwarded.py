"""The address of a client behind a proxy: `X-Forwarded-For` and `X-Forwarded-Proto`, from trusted proxies only.

The environment variable FORWARDED_ALLOW_IPS lists the proxies: addresses and networks, or `*` for all. Without it a
proxy on this machine is trusted.
"""

import ipaddress
import os
from collections.abc import Sequence
from typing import TypeAlias

from starlette.types import Scope

_DEFAULT_PROXIES = "127.0.0.1"
_SCHEMES = frozenset({b"http", b"https"})
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class ForwardedHeaders:
    """Replaces client and scheme of a scope by what a trusted proxy says.

    Args:
        trusted: The proxies; by default those of the environment.
    """

    def __init__(self, trusted: str | None = None) -> None:
        names = [
            name.strip() for name in (trusted or os.environ.get("FORWARDED_ALLOW_IPS", _DEFAULT_PROXIES)).split(",")
        ]
        self._trusts_all = "*" in names
        self._names = frozenset(names)
        self._networks = [network for name in names if (network := _network(name)) is not None]

    def apply(self, scope: Scope) -> None:
        """Change a scope whose request has such headers. Do nothing if its sender is not trusted."""
        client = scope["client"]
        if not self._is_trusted(client[0] if client else ""):
            return
        headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
        for name, value in headers:
            if name == b"x-forwarded-proto" and value.strip() in _SCHEMES:
                scope["scheme"] = value.strip().decode()
        chain = b",".join([value for name, value in headers if name == b"x-forwarded-for"]).decode("latin-1")
        hosts = [_host_and_port(host.strip()) for host in chain.split(",")]
        # Each proxy appends the address that it sees, so the last one that is no proxy of ours is the client.
        untrusted = [host for host in hosts if not self._is_trusted(host[0])]
        found = hosts[0] if self._trusts_all or not untrusted else untrusted[-1]
        if found[0]:
            scope["client"] = found

    def _is_trusted(self, host: str) -> bool:
        if self._trusts_all or host in self._names:
            return True
        address = _network(host) if host and self._networks else None
        return address is not None and any(
            address.version == network.version and address.network_address in network for network in self._networks
        )


def _network(text: str) -> _Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def _host_and_port(text: str) -> tuple[str, int]:
    """Split `HOST`, `HOST:PORT`, `[V6]` or `[V6]:PORT`. The port is 0 if there is none."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return text, 0
        port = rest[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
        if not port.isdecimal():
            return text, 0
    else:
        return text, 0
    return host, int(port) if port.isdecimal() else 0
