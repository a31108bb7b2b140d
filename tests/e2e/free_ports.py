"""Ports for processes that get theirs before they start."""

import random
import socket

_BELOW_EPHEMERAL = range(15_000, 32_000)
"""The system gives no port of these to a connection: that would take it between the choice and the start."""


def free_port() -> int:
    """Return a port that nothing listens on. Tests that run beside this one choose others."""
    choice = random.SystemRandom()
    while True:
        port = choice.choice(_BELOW_EPHEMERAL)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
