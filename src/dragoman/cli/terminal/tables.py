"""Tables, and the words in them."""

import time
from collections.abc import Mapping, Sequence

import click

_COLOURS = {"queued": "blue", "running": "cyan", "succeeded": "green", "failed": "red", "cancelled": "yellow"}
_HEADS = ("RUN", "STATUS", "MODEL", "PATH", "CLIENT", "TOKENS", "COST", "TOOK", "BEGAN")
_WIDTHS = (36, 9, 18, 4, 6, 13, 9, 8, 0)
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def run_head() -> str:
    """The head of a table of runs."""
    return _line(_HEADS)


def run_row(run: Mapping[str, object]) -> str:
    """One run, as the admin API tells it. The widths are fixed, so that rows can follow one by one."""
    status = str(run["status"])
    cells = (
        str(run["id"]),
        status,
        str(run["model"]),
        str(run["path"] or "-"),
        str(run["client"]),
        tokens(run),
        dollars(run),
        took(run),
        f"{ago(run['created'])} ago",
    )
    # Coloured at last: colour takes no room.
    return _line(cells).replace(f" {status} ", f" {click.style(status, fg=_COLOURS.get(status))} ", 1)


def tokens(run: Mapping[str, object]) -> str:
    """Tokens in and out."""
    usage = run["usage"]
    if not isinstance(usage, Mapping):
        return "-"
    read = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    taken = sum(count for name in read if isinstance(count := usage.get(name), int))
    return f"{taken} + {usage.get('output_tokens', 0)}"


def dollars(run: Mapping[str, object]) -> str:
    """What it cost."""
    cost = run["cost"]
    return f"${cost:.4f}" if isinstance(cost, int | float) else "-"


def took(run: Mapping[str, object]) -> str:
    """How long it took, or has taken so far."""
    stages, created = run["stages"], run["created"]
    if isinstance(stages, Mapping) and isinstance(total := stages.get("total"), int | float):
        return f"{total:.2f} s"
    if run["status"] in {"queued", "running"} and isinstance(created, int | float):
        return f"{time.time() - created:.1f} s"
    return "-"


def ago(moment: object) -> str:
    """How long ago a moment was, in one figure."""
    seconds = int(time.time() - float(str(moment)))
    for unit, letter in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
        if seconds >= unit:
            return f"{seconds // unit} {letter}"
    return f"{max(0, seconds)} s"


def _line(cells: Sequence[str]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()
