"""The table of runs, and how the figures of a run are formatted."""

import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import click

from dragoman.cli.terminal import format_age
from dragoman.core.value_object import value_object

_Run: TypeAlias = Mapping[str, object]

_COLORS = {"queued": "blue", "running": "cyan", "succeeded": "green", "failed": "red", "cancelled": "yellow"}
_INPUT_TOKENS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_MIN_COST = 0.0001
"""The smallest cost that is shown as a number, in dollars."""
_GAP = "  "
_SHORT_ID_LENGTH = len("run_") + 12


def format_status(status: str) -> str:
    """Return a run's status in its colour."""
    return click.style(status, fg=_COLORS.get(status))


def format_tokens(run: _Run) -> str:
    """Return the input and output tokens of a run, such as `120 + 45`."""
    usage = run["usage"]
    if not isinstance(usage, Mapping):
        return "-"
    total = sum(count for name in _INPUT_TOKENS if isinstance(count := usage.get(name), int))
    return f"{total} + {usage.get('output_tokens', 0)}"


def format_cost(run: _Run) -> str:
    """Return the cost of a run in dollars."""
    cost = run["cost"]
    if not isinstance(cost, int | float):
        return "-"
    return f"<${_MIN_COST}" if 0 < cost < _MIN_COST else f"${cost:.4f}"


def format_duration(run: _Run) -> str:
    """Return how long a run took, or how long it has taken so far."""
    stages, created = run["stages"], run["created"]
    if isinstance(stages, Mapping) and isinstance(total := stages.get("total"), int | float):
        return f"{total:.2f} s"
    if run["status"] in {"queued", "running"} and isinstance(created, int | float):
        return f"{time.time() - created:.1f} s"
    return "-"


@value_object
class _Column:
    """One column. Its width is fixed, so rows can be printed one by one."""

    head: str
    width: int
    cell: Callable[[_Run], str]


_COLUMNS = (
    _Column("RUN", 36, lambda run: str(run["id"])),
    _Column("STATUS", 9, lambda run: str(run["status"])),
    _Column("MODEL", 18, lambda run: str(run["model"])),
    _Column("PATH", 6, lambda run: str(run["path"] or "-")),
    _Column("CLIENT", 6, lambda run: str(run["client"])),
    _Column("TOKENS", 13, format_tokens),
    _Column("COST", 8, format_cost),
    _Column("TOOK", 8, format_duration),
    _Column("AGE", 4, lambda run: format_age(run["created"])),
)
_ERROR_COLUMN = _Column("ERROR", 24, lambda run: str(run["error"] or ""))
_SHORT_ID_COLUMN = _Column("RUN", _SHORT_ID_LENGTH, lambda run: str(run["id"])[:_SHORT_ID_LENGTH])
_OPTIONAL_COLUMNS = ("CLIENT", "PATH", "COST", "AGE", "TOKENS")
"""The columns that a narrow table leaves out, in this order. `dragoman tail` and `--json` show them too."""


class RunTable:
    """A table of runs.

    Args:
        max_width: Characters per line. The table shortens ids and leaves out columns to fit. None: no limit.
        errors: Whether to add a column with the codes of errors.
    """

    def __init__(self, max_width: int | None = None, *, errors: bool = False) -> None:
        columns = [*_COLUMNS, _ERROR_COLUMN] if errors else list(_COLUMNS)
        if max_width is not None and _width(columns) > max_width:
            columns[0] = _SHORT_ID_COLUMN
        for head in _OPTIONAL_COLUMNS:
            if max_width is not None and _width(columns) > max_width:
                columns = [column for column in columns if column.head != head]
        self._columns = columns

    @classmethod
    def for_terminal(cls, *, errors: bool = False) -> "RunTable":
        """Return a table that fits the terminal. A file or a pipe gets all columns."""
        return cls(shutil.get_terminal_size().columns if sys.stdout.isatty() else None, errors=errors)

    @property
    def head(self) -> str:
        """The line with the column names."""
        return self._line([column.head for column in self._columns])

    def row(self, run: _Run) -> str:
        """Return the line of one run. `run` has the format of the admin API."""
        status = str(run["status"])
        line = self._line([column.cell(run) for column in self._columns])
        # The colour codes take no room, so they are added after the padding.
        return line.replace(f" {status} ", f" {format_status(status)} ", 1)

    def _line(self, cells: Sequence[str]) -> str:
        pairs = zip(cells, self._columns, strict=True)
        return _GAP.join(cell.ljust(column.width) for cell, column in pairs).rstrip()


def _width(columns: Sequence[_Column]) -> int:
    return sum(column.width for column in columns) + len(_GAP) * (len(columns) - 1)
