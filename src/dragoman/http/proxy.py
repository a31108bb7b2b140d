"""Which proxy leads to a server, as the environment says."""

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, unquote, urlsplit

from dragoman.http.errors import ConnectFailed

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where to connect.

    Attributes:
        host: Its name or address.
        port: Its port.
        tls: Whether TLS is spoken.
    """

    host: str
    port: int
    tls: bool

    @property
    def authority(self) -> str:
        """Host and port, as `CONNECT` wants them."""
        return f"{_bracketed(self.host)}:{self.port}"

    @property
    def header(self) -> str:
        """The value of the `Host` header: without a port that goes without saying."""
        usual = _PORTS["https" if self.tls else "http"]
        return _bracketed(self.host) if self.port == usual else self.authority


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy.

    Attributes:
        origin: Where it is.
        authorization: The value of `Proxy-Authorization`; empty where its URL names nobody.
    """

    origin: Origin
    authorization: str = ""


def origin_of(url: str) -> Origin:
    """Where a URL leads.

    Raises:
        Unreachable: It is no HTTP URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConnectFailed("its address cannot be read") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ConnectFailed("its address is not an HTTP one")
    return Origin(parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "https")


def proxy_for(origin: Origin, environment: Mapping[str, str] = os.environ) -> Proxy | None:
    """The proxy for a server, by `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in either case.

    Args:
        origin: The server.
        environment: Where the variables are; those in lower case count first.

    Raises:
        Unreachable: A proxy is named that is not spoken to (SOCKS).
    """

    def named(name: str) -> str:
        return environment.get(name) or environment.get(name.upper()) or ""

    # `HTTP_PROXY` may be a header of a request where a program runs as CGI; we never do.
    url = named("https_proxy" if origin.tls else "http_proxy") or named("all_proxy")
    if not url or _is_direct(origin, named("no_proxy")):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in _PORTS:
        raise ConnectFailed(f"a proxy of the kind `{parts.scheme}` is not supported")
    return Proxy(origin_of(parts.geturl()), _authorization(parts))


def _is_direct(origin: Origin, listed: str) -> bool:
    """Whether `NO_PROXY` names a server: `*`, a name (and all below it), an address or a network, port or not."""
    for entry in filter(None, (part.strip().lower() for part in listed.split(","))):
        name = entry.removeprefix("*").lstrip(".")
        if entry == "*" or name in {origin.host, origin.authority, origin.header}:
            return True
        if (name and origin.host.endswith(f".{name}")) or _is_within(origin.host, entry):
            return True
    return False


def _is_within(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False


def _authorization(parts: SplitResult) -> str:
    if parts.username is None:
        return ""
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
