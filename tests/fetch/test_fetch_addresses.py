"""Which IP addresses are public, and how addresses are parsed."""

from ipaddress import ip_address

import pytest

from dragoman.fetch.rules import is_public, parse_address


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "203.0.114.1", "2606:4700:4700::1111", "2a00:1450:4001::8a"])
def test_public(address: str) -> None:
    """Addresses of the public internet are public."""
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 - refused, not bound
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::169.254.169.254",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%lo",
        "fec0::1",
        "ff02::1",
        "4000::1",
    ],
)
def test_not_public(address: str) -> None:
    """Private, local, embedded, reserved and unassigned addresses are not public."""
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "017700000001", "1.2.3.4.5"])
def test_only_addresses_are_parsed(text: str) -> None:
    """Other forms of addresses, such as those that `inet_aton` accepts, are rejected."""
    assert parse_address(text) is None
