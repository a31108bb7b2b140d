"""The table of runs."""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import click

from dragoman.cli.terminal import ago, dollars, tokens, took

_COLOURS = {"queued": "blue", "running": "cyan", "succeeded": "green", "failed": "red", "cancelled": "yellow"}
_GAP = "  "
_SHORT_ID = len("run_") + 12

_Run: TypeAlias = Mapping[str, object]


def coloured(status: str) -> str:
    """A run's status, each in its colour."""
    return click.style(status, fg=_COLOURS.get(status))


@dataclass(frozen=True, slots=True)
class _Column:
    """One column; the width is fixed, so that rows can follow one by one."""

    head: str
    width: int
    cell: Callable[[_Run], str]


class RunTable:
    """A table of runs. Where there is little room it leaves out what `dragoman tail` and `--json` also tell.

    Args:
        room: The most letters a line; None: no limit.
    """

    def __init__(self, room: int | None = None) -> None:
        columns = list(_COLUMNS)
        if room is not None and _width(columns) > room:
            columns[0] = _Column("RUN", _SHORT_ID, lambda run: str(run["id"])[:_SHORT_ID])
        for head in _DISPENSABLE:
            if room is not None and _width(columns) > room:
                columns = [column for column in columns if column.head != head]
        self._columns = columns

    @classmethod
    def shown(cls) -> "RunTable":
        """One that fits the terminal it is printed on; into a file or a pipe goes all."""
        return cls(shutil.get_terminal_size().columns if sys.stdout.isatty() else None)

    @property
    def head(self) -> str:
        """Its head."""
        return self._line([column.head for column in self._columns])

    def row(self, run: _Run) -> str:
        """One run, as the admin API tells it."""
        status = str(run["status"])
        # Coloured at last: colour takes no room.
        line = self._line([column.cell(run) for column in self._columns])
        return line.replace(f" {status} ", f" {coloured(status)} ", 1)

    def _line(self, cells: Sequence[str]) -> str:
        pairs = zip(cells, self._columns, strict=True)
        return _GAP.join(cell.ljust(column.width) for cell, column in pairs).rstrip()


def _width(columns: Sequence[_Column]) -> int:
    return sum(column.width for column in columns) + len(_GAP) * (len(columns) - 1)


_COLUMNS = (
    _Column("RUN", 36, lambda run: str(run["id"])),
    _Column("STATUS", 9, lambda run: str(run["status"])),
    _Column("MODEL", 18, lambda run: str(run["model"])),
    _Column("PATH", 6, lambda run: str(run["path"] or "-")),
    _Column("CLIENT", 6, lambda run: str(run["client"])),
    _Column("TOKENS", 13, tokens),
    _Column("COST", 8, dollars),
    _Column("TOOK", 8, took),
    _Column("AGE", 4, lambda run: ago(run["created"])),
)
_DISPENSABLE = ("CLIENT", "PATH", "COST", "AGE", "TOKENS")
"""What goes first where there is little room."""
