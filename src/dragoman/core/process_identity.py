"""The identity of a process: its number and its start. A number alone may belong to another process later."""

import psutil

from dragoman.core.value_object import value_object

_CLOCK_TOLERANCE = 5.0
"""Seconds by which the start of a process may seem to move when the machine's clock is set."""


@value_object
class ProcessIdentity:
    """A process.

    Attributes:
        pid: Its number.
        started_at: Its start in seconds since 1970.
    """

    pid: int
    started_at: float

    @classmethod
    def current(cls) -> "ProcessIdentity":
        """Return the identity of this process."""
        process = psutil.Process()
        return cls(process.pid, process.create_time())

    @classmethod
    def parse(cls, text: str) -> "ProcessIdentity":
        """Parse the text of an identity, as `str` returns it.

        Raises:
            ValueError: The text is not an identity.
        """
        pid, started_at = text.split("@")
        return cls(int(pid), float(started_at))

    def __str__(self) -> str:
        return f"{self.pid}@{self.started_at}"

    def process(self) -> psutil.Process | None:
        """Return the process; None if it has ended, also if another process has its number now."""
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.started_at) < _CLOCK_TOLERANCE
            return process if is_same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None
