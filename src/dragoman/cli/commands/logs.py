"""`dragoman logs`: show and follow the log of a gateway."""

import contextlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click

from dragoman.cli.log_output.format import format_full
from dragoman.cli.options import settings_from, settings_options
from dragoman.cli.select_instance import SELECTION_SETTINGS, select_instance
from dragoman.config.settings import Settings
from dragoman.config.values import point_in_time
from dragoman.core.value_object import value_object

_LEVELS = {"debug": 1, "info": 2, "warning": 3, "error": 4}
_POLL_INTERVAL = 0.1
_MAX_MISSING_POLLS = 20
"""How often a followed file may be missing before the command reports it. A rotation takes far less."""


@click.command("logs")
@settings_options([*SELECTION_SETTINGS, "log_file"])
@click.option("-f", "--follow", is_flag=True, help="Keep printing new lines until Ctrl-C.")
@click.option(
    "-n", "--lines", default=50, show_default=True, type=click.IntRange(0), help="How many of the last lines."
)
@click.option(
    "--level",
    type=click.Choice(list(_LEVELS)),
    help="Only lines of this level and above: `warning` shows failures alone.",
)
@click.option("--since", help="Only lines since then: `15m`, `2h`, `7d` or `2026-01-31T12:00`.")
@click.option("--until", help="Only lines until then, written the same way.")
@click.option("--json", "as_json", is_flag=True, help="Print the lines as they are in the file.")
def logs(
    *,
    follow: bool,
    lines: int,
    level: str | None,
    since: str | None,
    until: str | None,
    as_json: bool,
    **flags: object,
) -> None:
    """Show the log of a gateway. If no gateway is running, show the newest log in the state directory.

    Filters apply before --lines: `dragoman logs --level warning -n 5` shows the last five failures.
    """
    chosen = LineFilter(_LEVELS.get(level or "", 0), _log_time(since), _log_time(until))
    path = _find_log(settings_from(flags), flags)
    try:
        for line in read_lines(path, lines, follow=follow, accepts=chosen.accepts):
            text = line.decode("utf-8", "replace").rstrip("\n")
            click.echo(text if as_json else _format(text))
    except KeyboardInterrupt:
        return  # stops following


@value_object
class LineFilter:
    """Which lines to show.

    Attributes:
        rank: The lowest level, as a position in `_LEVELS`.
        since: The earliest time, in the log's own format; None: any.
        until: The latest time.
    """

    rank: int = 0
    since: str | None = None
    until: str | None = None

    def accepts(self, line: bytes) -> bool:
        """Return whether to show a line. What is no event, such as a library's own output, has no time and no level."""
        if self == LineFilter():
            return True
        try:
            event = json.loads(line)
            when, rank = str(event["time"]), _LEVELS.get(str(event["level"]), 0)
        except (ValueError, KeyError, TypeError):
            return not (self.since or self.until)
        return rank >= self.rank and (self.since or "") <= when and (self.until is None or when <= self.until)


def _log_time(text: str | None) -> str | None:
    """Return a point in time in the format of the log, whose order is that of its text.

    Raises:
        ClickException: The text is not a time.
    """
    if text is None:
        return None
    try:
        return datetime.fromtimestamp(point_in_time(text), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except (ValueError, OverflowError, OSError) as error:
        raise click.ClickException(str(error)) from None


def _find_log(settings: Settings, flags: dict[str, object]) -> Path:
    """Return the log file.

    Raises:
        ClickException: There is no log file.
    """
    if record := select_instance(settings, flags):
        if record.log:
            return Path(record.log)
        raise click.ClickException(
            f"The gateway at {record.address} (pid {record.pid}) logs to its terminal. Start it with `--background` or "
            "`--log-file FILE` to log to a file."
        )
    if settings.log_file:
        return settings.log_file.expanduser()
    files = sorted(settings.state_dir.expanduser().glob("gateway-*.log"), key=_modified_at)
    if not files:
        raise click.ClickException(
            "There is no log yet. `dragoman serve --background` starts a gateway that logs to a file."
        )
    return files[-1]


def _accept_all(_line: bytes) -> bool:
    return True


def read_lines(
    path: Path, count: int, *, follow: bool, accepts: Callable[[bytes], bool] = _accept_all
) -> Iterator[bytes]:
    """Yield the last lines. When following, yield each line written later, also after the file is rotated.

    Args:
        path: The file.
        count: The number of last lines.
        follow: Whether to continue with lines that are written later.
        accepts: Decides whether a line counts.

    Raises:
        ClickException: The file cannot be read.
    """
    try:
        file = path.open("rb")
        last: deque[bytes] = deque(maxlen=count)
        incomplete = b""
        for line in file:
            if follow and not line.endswith(b"\n"):
                incomplete = line
            elif accepts(line):
                last.append(line)
        if not follow:
            file.close()
        yield from last
        if follow:
            yield from filter(accepts, _follow(path, file, incomplete))
    except OSError as error:
        raise click.ClickException(
            f"{path} cannot be read: {error.strerror}. Choose another file with --log-file."
        ) from None


def _follow(path: Path, file: BinaryIO, incomplete: bytes) -> Iterator[bytes]:
    """Yield complete lines as they are written. Continue with the new file when the log is rotated or truncated."""
    is_replaced = False
    missing = 0
    try:
        while True:
            if part := file.readline():
                incomplete += part
                if incomplete.endswith(b"\n"):
                    yield incomplete
                    incomplete = b""
                continue
            try:
                if is_replaced:  # and read to its end since then
                    new = path.open("rb")
                    file.close()
                    file, is_replaced, missing = new, False, 0
                    if incomplete:
                        yield incomplete
                        incomplete = b""
                    continue
                if is_replaced := _is_replaced(path, file):
                    continue  # the last lines may have been written just before: read the old file once more
                missing = 0
            except FileNotFoundError:  # for a short time during a rotation
                missing += 1
                if missing == _MAX_MISSING_POLLS:
                    click.secho(f"Warning: {path} was removed. Waiting for a new file.", fg="yellow", err=True)
            time.sleep(_POLL_INTERVAL)
    finally:
        file.close()


def _is_replaced(path: Path, file: BinaryIO) -> bool:
    """Return whether the path names another file by now, or the file was truncated.

    Raises:
        FileNotFoundError: There is no file at the path.
    """
    current = path.stat()
    return current.st_ino != os.fstat(file.fileno()).st_ino or current.st_size < file.tell()


def _format(text: str) -> str:
    """Format a line for people. A line that is not a log event, such as output of a library, stays as it is."""
    try:
        return format_full(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError):
        return text


def _modified_at(path: Path) -> float:
    with contextlib.suppress(OSError):  # removed in the meantime
        return path.stat().st_mtime
    return 0.0
