"""Set up the log for the whole process."""

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import click

from dragoman.cli.log_output.files import LogFile, write_to_stderr
from dragoman.cli.log_output.format import Format, format_full, format_minimal
from dragoman.cli.log_output.processor import Destination, LogProcessor
from dragoman.cli.log_output.queue import LineQueue
from dragoman.cli.terminal import wants_color
from dragoman.config.loading import BadSettings, describe_setting
from dragoman.config.secrets import held_secrets
from dragoman.config.settings import Settings
from dragoman.core import log
from dragoman.core.log import RANKS, Fields
from dragoman.core.redaction import Redactor

_OFF = 100
"""A level above all others."""

_LIBRARY_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


def configure(settings: Settings, *, quiet: bool = False, minimal: bool = False) -> Callable[[], None]:
    """Set up the log.

    Args:
        settings: The levels and files, and all secrets, including those read from files.
        quiet: Write only errors to the terminal.
        minimal: Write only requests, warnings and errors to the terminal.

    Returns:
        A function that writes all lines that are still queued. At the end of the process they are written anyway.

    Raises:
        BadSettings: A log file cannot be written.
    """
    redactor = Redactor(held_secrets(settings))
    destinations = list(_destinations(settings, quiet=quiet, minimal=minimal))
    level = min(max(min(one.rank for one in destinations), logging.DEBUG), logging.CRITICAL)
    log.configure(LogProcessor(redactor, destinations), level)
    logging.basicConfig(handlers=[_LibraryHandler()], level=max(level, logging.WARNING), force=True)
    redact_tracebacks(redactor)
    if logs_payloads(settings):
        log.warning("log.payloads", note="The log contains prompts and responses from now on. Secrets are removed.")
    queued = [one.flush for one in destinations if one.flush is not None]

    def flush() -> None:
        for write in queued:
            write()

    return flush


def logs_payloads(settings: Settings) -> bool:
    """Return whether the log contains prompts and responses."""
    return settings.log_level in {"debug", "trace"} or settings.trace_file is not None


def redact_tracebacks(redactor: Redactor) -> None:
    """Remove secrets from the tracebacks that Python itself writes to standard error, in the whole process."""

    def write(kind: type[BaseException], error: BaseException | None, where: TracebackType | None) -> None:
        sys.stderr.write(redactor.text("".join(traceback.format_exception(kind, error, where))))

    def write_from_hook(args: "threading.ExceptHookArgs | sys.UnraisableHookArgs") -> None:
        write(args.exc_type, args.exc_value, args.exc_traceback)

    sys.excepthook = write
    threading.excepthook = write_from_hook
    sys.unraisablehook = write_from_hook


def _destinations(settings: Settings, *, quiet: bool, minimal: bool) -> Iterator[Destination]:
    rank = RANKS.get(settings.log_level, _OFF)
    is_terminal = sys.stderr.isatty()
    if settings.log_file:
        yield _file_destination(rank, "log_file", settings.log_file, settings)
    elif quiet:
        render = _terminal_renderer(format_full) if is_terminal else None
        yield Destination(max(rank, RANKS["error"]), write_to_stderr, render=render)
    else:
        render = _terminal_renderer(format_minimal if minimal else format_full) if is_terminal else None
        yield Destination(rank, write_to_stderr, render=render, requests_only=minimal)
    if settings.trace_file:
        yield _file_destination(RANKS["trace"], "trace_file", settings.trace_file, settings)


def _file_destination(rank: int, name: str, path: Path, settings: Settings) -> Destination:
    queue = LineQueue(_open_file(name, path, settings).write_lines)
    return Destination(rank, queue.put, queue.flush)


def _terminal_renderer(format_event: Format) -> Callable[[Fields], bytes]:
    if wants_color():
        return lambda event: format_event(event).encode()
    return lambda event: click.unstyle(format_event(event)).encode()


def _open_file(name: str, path: Path, settings: Settings) -> LogFile:
    try:
        return LogFile(path.expanduser(), settings.log_max_bytes, settings.log_keep)
    except OSError as error:
        raise BadSettings(
            f"{describe_setting(name)}: {path} cannot be written: {error.strerror}. Choose another file."
        ) from None


class _LibraryHandler(logging.Handler):
    """Forwards what libraries log with the standard library to this log."""

    def emit(self, record: logging.LogRecord) -> None:
        # Libraries may use levels between the standard ones.
        level = max((rank for rank in _LIBRARY_LEVELS if rank <= record.levelno), default=logging.DEBUG)
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError) as error:  # the library's arguments do not fit its message
            text = f"{record.msg} (cannot be formatted: {error})"
        name = logging.getLevelName(level).lower()
        log.at(name, "library.said", source=record.name, text=text, exc_info=record.exc_info)
