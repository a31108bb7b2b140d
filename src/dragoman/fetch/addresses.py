"""Which addresses are the public internet: the only ones that a stranger's URL may lead to.

Sources: https://www.iana.org/assignments/iana-ipv4-special-registry, …/iana-ipv6-special-registry
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_REFUSED = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "100.64.0.0/10",  # carriers' private addresses; a cloud's metadata service is among them
        "168.63.129.16/32",  # a cloud's metadata service, though its number is public
        "192.0.0.0/24",  # protocol assignments; a cloud's metadata service is among them
        "192.88.99.0/24",  # relays of 6to4
        "198.18.0.0/15",  # benchmarks
    )
)

_UNICAST_6 = IPv6Network("2000::/3")
"""All that was ever handed out. Mapped and compatible IPv4, NAT64, local, link-local and multicast are outside."""

_REFUSED_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo among them, which hides an IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which hides an IPv4 address
        "3fff::/20",  # documentation
    )
)


def parsed(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a text is, if it is one."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the public internet.

    Stricter than `is_global`, which counts multicast in and whose lists differ between versions of Python.
    """
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED)
    return address in _UNICAST_6 and not any(address in network for network in _REFUSED_6)
