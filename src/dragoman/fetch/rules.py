"""Which URLs and addresses may be fetched. By default only addresses of the public internet.

Sources: https://www.iana.org/assignments/iana-ipv4-special-registry, .../iana-ipv6-special-registry
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from yarl import URL

from dragoman.core.value_object import value_object
from dragoman.fetch.base import FetchFailed

_NOT_PUBLIC_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "100.64.0.0/10",  # private addresses of carriers; a cloud's metadata service is among them
        "168.63.129.16/32",  # a cloud's metadata service, though its number is public
        "192.0.0.0/24",  # protocol assignments; a cloud's metadata service is among them
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",  # benchmarks
    )
)
_UNICAST_6 = IPv6Network("2000::/3")
"""All that was assigned so far. Mapped and compatible IPv4, NAT64, local, link-local and multicast are outside."""

_NOT_PUBLIC_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, among them Teredo, which embeds an IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which embeds an IPv4 address
        "3fff::/20",  # documentation
    )
)
_PORTS = frozenset({80, 443})
_PATTERN = re.compile(r"(?P<host>(\*\.)?[a-z0-9_.-]+|\[[0-9a-f:.]+\])(:(?P<port>\d{1,5}))?", re.ASCII)
_NUMBERS = re.compile(r"[0-9.]+", re.ASCII)


class Rules:
    """What may be fetched.

    Args:
        patterns: The only hosts. None: every public one. An address among them may be connected to even if it is not
            public. A name among them must not lead to such an address, unless that is listed too.
    """

    def __init__(self, patterns: Iterable[str] | None = None) -> None:
        self._patterns = None if patterns is None else tuple(HostPattern.parse(text) for text in patterns)

    def check(self, url: URL) -> None:
        """Check a URL before its host is looked up.

        Raises:
            FetchFailed: It may not be fetched.
        """
        if url.scheme not in {"http", "https"} or not url.raw_host:
            raise FetchFailed("Only http and https URLs are fetched.", code="url_not_allowed")
        if url.raw_user is not None or url.raw_password is not None:
            raise FetchFailed("A URL with a user or password is not fetched.", code="url_not_allowed")
        if _NUMBERS.fullmatch(url.raw_host) and parse_address(url.raw_host) is None:
            raise FetchFailed("The URL cannot be read.", code="invalid_url")  # an old form of an address
        port = url.port or 0
        if self._patterns is None and port not in _PORTS:
            raise FetchFailed("URLs are fetched from the ports 80 and 443 only.", code="url_not_allowed")
        if self._patterns is not None and not self._is_listed(url.raw_host, port):
            raise FetchFailed(
                "The gateway's operator does not allow it to fetch from this host (`--fetch-urls`).",
                code="url_not_allowed",
            )

    def admits(self, host: str, port: int) -> bool:
        """Return whether a connection may go to an address.

        Args:
            host: The IP address. Any other text is refused.
            port: The port.
        """
        address = parse_address(host)
        return address is not None and (is_public(address) or self._is_listed(str(address), port))

    def _is_listed(self, host: str, port: int) -> bool:
        address = parse_address(host)
        name = str(address) if address else host.lower().rstrip(".")
        return any(pattern.allows(name, port) for pattern in self._patterns or ())


@value_object
class HostPattern:
    """Hosts that the operator allows.

    Attributes:
        host: A name, an address, or `*.` and a name, for all names under it.
        port: The only port. None: those of http and https.
    """

    host: str
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> "HostPattern":
        """Read `images.example.com`, `*.example.com`, `example.com:8443`, `192.0.2.1` or `[2001:db8::1]:8080`.

        Raises:
            ValueError: The text has none of these forms.
        """
        found = _PATTERN.fullmatch(text.strip().lower())
        if not found:
            raise ValueError(
                f"`{text}` is not a host: write `on`, `off`, or hosts such as images.example.com, *.example.com, "
                "example.com:8443"
            )
        host = found["host"].strip("[]").rstrip(".")
        address = parse_address(host)
        return cls(str(address) if address else host, int(found["port"]) if found["port"] else None)

    def allows(self, host: str, port: int) -> bool:
        """Return whether the pattern covers a host and a port."""
        if self.host.startswith("*."):
            covered = host.endswith(self.host[1:]) and parse_address(host) is None  # `*.1` is no range of addresses
        else:
            covered = host == self.host
        return covered and (port == self.port if self.port else port in _PORTS)


def parse_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address that a text is, or None."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address belongs to the public internet.

    Stricter than `is_global`, which includes multicast and whose lists differ between versions of Python.
    """
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _UNICAST_6 and not any(address in network for network in _NOT_PUBLIC_6)
