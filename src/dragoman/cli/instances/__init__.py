"""The gateways that run with this state directory: who they are, found by other processes."""

from dragoman.cli.instances.record import Record
from dragoman.cli.instances.registry import Registry

__all__ = ["Record", "Registry"]
