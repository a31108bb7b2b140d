"""`dragoman logs`."""

import json
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import click

from dragoman.cli.logs.processor import in_full
from dragoman.cli.options import settings_from, settings_options
from dragoman.cli.select_instance import WHICH, chosen
from dragoman.config.settings import Settings

_PAUSE = 0.1


@click.command("logs")
@settings_options([*WHICH, "log_file"])
@click.option("-f", "--follow", is_flag=True, help="Go on as it is written, until Ctrl-C.")
@click.option("-n", "--lines", default=50, show_default=True, type=click.IntRange(0), help="How many of the last.")
@click.option("--json", "as_json", is_flag=True, help="Print the lines as they are written.")
def command(*, follow: bool, lines: int, as_json: bool, **flags: object) -> None:
    """Show the log of a gateway, of the last one where none runs."""
    path = _log(settings_from(flags), flags)
    try:
        for line in _lines(path, lines, follow=follow):
            _show(line, as_json=as_json)
    except KeyboardInterrupt:
        return  # how following ends
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror}. Name the file with --log-file.") from None


def _log(settings: Settings, flags: dict[str, object]) -> Path:
    """The file.

    Raises:
        ClickException: There is none.
    """
    if record := chosen(settings, flags):
        if record.log:
            return Path(record.log)
        raise click.ClickException(
            f"The gateway at {record.address} (pid {record.pid}) logs to its terminal. With `--background` or "
            "`--log-file FILE` it logs to a file."
        )
    if settings.log_file:
        return settings.log_file.expanduser()
    files = sorted(settings.state_dir.expanduser().glob("gateway-*.log"), key=lambda path: path.stat().st_mtime)
    if not files:
        raise click.ClickException(
            "There is no log yet. `dragoman serve --background` starts a gateway that keeps one."
        )
    return files[-1]


def _lines(path: Path, last: int, *, follow: bool) -> Iterator[bytes]:
    """The last lines, and what is written from then on, also after the file was put aside for a new one."""
    file = path.open("rb")
    try:
        known = deque(file, maxlen=last)
        begun = known.pop() if follow and known and not known[-1].endswith(b"\n") else b""
        yield from known
        while follow:
            if more := file.readline():
                begun += more
                if begun.endswith(b"\n"):
                    yield begun
                    begun = b""
            elif _was_replaced(path, file.fileno(), file.tell()):
                file.close()
                file = path.open("rb")
            else:
                time.sleep(_PAUSE)
    finally:
        file.close()


def _was_replaced(path: Path, descriptor: int, place: int) -> bool:
    try:
        now = path.stat()
    except FileNotFoundError:  # between the two steps of a rotation
        return False
    return now.st_ino != os.fstat(descriptor).st_ino or now.st_size < place


def _show(line: bytes, *, as_json: bool) -> None:
    text = line.decode("utf-8", "replace").rstrip("\n")
    click.echo(text if as_json else _readable(text))


def _readable(text: str) -> str:
    try:
        return in_full(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError):
        return text  # not a line of ours
