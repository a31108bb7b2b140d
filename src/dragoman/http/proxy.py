"""Servers by URL, and the proxies that the environment names for them."""

import base64
import os
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, unquote, urlsplit

from dragoman.core.value_object import value_object
from dragoman.http.errors import ConnectFailed

_DEFAULT_PORTS = {"http": 80, "https": 443}


@value_object
class Origin:
    """The address of a server.

    Attributes:
        host: Name or IP address.
        port: TCP port.
        tls: Whether to use TLS.
    """

    host: str
    port: int
    tls: bool

    @property
    def authority(self) -> str:
        """Host and port, as in `CONNECT`."""
        return f"{_bracketed(self.host)}:{self.port}"

    @property
    def header(self) -> str:
        """The value of the `Host` header: without the port if it is the default."""
        default = _DEFAULT_PORTS["https" if self.tls else "http"]
        return _bracketed(self.host) if self.port == default else self.authority


@value_object
class Proxy:
    """A proxy server.

    Attributes:
        origin: Its address.
        authorization: The value of `Proxy-Authorization`. Empty if its URL has no user.
    """

    origin: Origin
    authorization: str = ""


def origin_of(url: str) -> Origin:
    """Return the server of a URL.

    Raises:
        ConnectFailed: It is not an HTTP URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConnectFailed("its address cannot be read") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ConnectFailed("its address is not an HTTP one")
    return Origin(parts.hostname, port or _DEFAULT_PORTS[parts.scheme], parts.scheme == "https")


def proxy_for(origin: Origin, environment: Mapping[str, str] = os.environ) -> Proxy | None:
    """Return the proxy for a server, by `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.

    Args:
        origin: The server.
        environment: The variables. Names in lower case take precedence.

    Raises:
        ConnectFailed: The proxy is of a kind that is not supported (SOCKS).
    """

    def variable(name: str) -> str:
        return environment.get(name) or environment.get(name.upper()) or ""

    # In CGI programs `HTTP_PROXY` may be a header of a request. The gateway never runs as one.
    url = variable("https_proxy" if origin.tls else "http_proxy") or variable("all_proxy")
    if not url or _is_direct(origin, variable("no_proxy")):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in _DEFAULT_PORTS:
        raise ConnectFailed(f"a proxy of the kind `{parts.scheme}` is not supported")
    return Proxy(origin_of(parts.geturl()), _authorization(parts))


def _is_direct(origin: Origin, no_proxy: str) -> bool:
    """Return whether `NO_PROXY` covers a server: `*`, a name and its subdomains, an address, a network; port or not."""
    for entry in filter(None, (part.strip().lower() for part in no_proxy.split(","))):
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
