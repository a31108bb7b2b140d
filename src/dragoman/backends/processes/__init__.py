"""Child processes, for backends that ask by one: from spawn to reaped, also where the gateway itself is killed."""

from dragoman.backends.processes.guard import Guard
from dragoman.backends.processes.process import Process

__all__ = ["Guard", "Process"]
