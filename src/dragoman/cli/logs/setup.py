"""What is written when our own code breaks where nothing catches it: the traceback, without secrets.

Setting the log up, once, for the whole process.
"""

import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import structlog
from pydantic import BaseModel, SecretStr

from dragoman.cli.logs.files import LogFile, to_stderr
from dragoman.cli.logs.processor import RANKS, LogProcessor, Place, in_full, in_short, rendered
from dragoman.config.loading import BadSettings, describe_setting
from dragoman.config.settings import Settings
from dragoman.core.redaction import Redactor


def guard_tracebacks(redactor: Redactor) -> None:
    """Have Python's last words redacted, too. For the whole process."""

    def tell(kind: type[BaseException], error: BaseException | None, where: TracebackType | None) -> None:
        sys.stderr.write(redactor.text("".join(traceback.format_exception(kind, error, where))))

    def tell_of_thread(args: threading.ExceptHookArgs) -> None:
        tell(args.exc_type, args.exc_value, args.exc_traceback)

    def tell_of_ignored(args: "sys.UnraisableHookArgs") -> None:
        tell(args.exc_type, args.exc_value, args.exc_traceback)

    sys.excepthook = tell
    threading.excepthook = tell_of_thread
    sys.unraisablehook = tell_of_ignored


_NOTHING = 100
_OF_CLOUDS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK")
"""Secrets that a cloud's own tools find in the environment."""

log = structlog.get_logger("dragoman.log")


def configure(settings: Settings, *, quiet: bool = False, minimal: bool = False) -> None:
    """Set the log up.

    Args:
        settings: The levels and the files; the secrets, those that were looked up included.
        quiet: Say only what went wrong, where the log goes to the terminal.
        minimal: Say no more than a line a request there, and what went wrong.

    Raises:
        BadSettings: A file cannot be written.
    """
    redactor = Redactor((*_secrets(settings), *(os.environ.get(name, "") for name in _OF_CLOUDS)))
    places = list(_places(settings, quiet=quiet, minimal=minimal))
    least = min(max(min(place.rank for place in places), logging.DEBUG), logging.CRITICAL)
    structlog.configure(
        processors=[LogProcessor(redactor, places)],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Adopted()], level=max(least, logging.WARNING), force=True)
    guard_tracebacks(redactor)
    if holds_payloads(settings):
        log.warning("log.payloads", note="From here on the log holds what people write. Secrets are left out.")


def holds_payloads(settings: Settings) -> bool:
    """Whether what people write is logged."""
    return settings.log_level in {"debug", "trace"} or settings.trace_file is not None


def _places(settings: Settings, *, quiet: bool, minimal: bool) -> Iterator[Place]:
    rank = RANKS.get(settings.log_level, _NOTHING)
    if settings.log_file:
        yield Place(rank, _file("log_file", settings.log_file, settings).write)
    elif quiet:
        yield Place(max(rank, RANKS["error"]), to_stderr, rendered(in_full) if sys.stderr.isatty() else None)
    elif sys.stderr.isatty():
        yield Place(rank, to_stderr, rendered(in_short if minimal else in_full), requests_alone=minimal)
    else:
        yield Place(rank, to_stderr, requests_alone=minimal)
    if settings.trace_file:
        yield Place(RANKS["trace"], _file("trace_file", settings.trace_file, settings).write)


def _file(name: str, path: Path, settings: Settings) -> LogFile:
    try:
        return LogFile(path.expanduser(), settings.log_max_bytes, settings.log_keep)
    except OSError as error:
        raise BadSettings(
            f"{describe_setting(name)}: {path} cannot be written: {error.strerror}. Name another."
        ) from None


def _secrets(value: object) -> Iterator[str]:
    """Every secret that we are told, however deep in the settings it stands."""
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case BaseModel():
            yield from (secret for name in type(value).model_fields for secret in _secrets(getattr(value, name)))
        case list() | tuple():
            yield from (secret for item in value for secret in _secrets(item))
        case dict():
            yield from (secret for item in value.values() for secret in _secrets(item))
        case _:
            pass


class _Adopted(logging.Handler):
    """What libraries log by the standard library, in our log."""

    def emit(self, record: logging.LogRecord) -> None:
        said = structlog.get_logger("dragoman.libraries")
        said.log(record.levelno, "library.said", source=record.name, text=record.getMessage(), exc_info=record.exc_info)
