"""A process as one notes it down: its number alone would be believed of the process that gets it next."""

from dataclasses import dataclass

import psutil

_CLOCK_STEP = 5.0
"""Seconds by which a process's start may seem to move, where the machine's clock is set."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process, and when it began.

    Attributes:
        pid: Its number.
        began: Seconds since 1970.
    """

    pid: int
    began: float

    @classmethod
    def ours(cls) -> "ProcessIdentity":
        """That of this process."""
        process = psutil.Process()
        return cls(process.pid, process.create_time())

    @classmethod
    def parsed(cls, text: str) -> "ProcessIdentity":
        """From its text.

        Raises:
            ValueError: It is none.
        """
        pid, began = text.split("@")
        return cls(int(pid), float(began))

    def __str__(self) -> str:
        return f"{self.pid}@{self.began}"

    def process(self) -> psutil.Process | None:
        """The process; none if it has ended, even where another has its number by now."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.began) < _CLOCK_STEP
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None
