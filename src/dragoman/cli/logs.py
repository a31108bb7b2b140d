"""Where the log goes and how it looks: JSON lines, or for people where a person reads it."""

import logging
import sys
from typing import BinaryIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, Processor

from dragoman.settings import Settings

_THRESHOLDS = {"trace": logging.DEBUG, "debug": logging.DEBUG, "info": logging.INFO, "off": logging.CRITICAL}


def configure(settings: Settings, *, quiet: bool = False) -> None:
    """Set the log up, once, for the whole process.

    Args:
        settings: The level and the file.
        quiet: Say only what went wrong, where the log goes to the terminal.
    """
    threshold = _THRESHOLDS[settings.log_level]
    if quiet and not settings.log_file:
        threshold = max(threshold, logging.ERROR)
    for_people = not settings.log_file and sys.stderr.isatty()
    structlog.configure(
        processors=[*_shared(), *(_pretty() if for_people else _lines())],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr)
        if for_people
        else structlog.BytesLoggerFactory(_sink(settings)),
        cache_logger_on_first_use=True,
    )
    _adopt_others(max(threshold, logging.WARNING))


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper("iso", utc=True, key="time"),
        _without_nothing,
    ]


def _pretty() -> list[Processor]:
    return [structlog.dev.ConsoleRenderer(timestamp_key="time")]


def _lines() -> list[Processor]:
    return [structlog.processors.format_exc_info, _as_json]


def _without_nothing(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Facts that are not there are not written."""
    return {key: value for key, value in event.items() if value is not None}


def _as_json(_logger: object, _method: str, event: EventDict) -> bytes:
    return msgspec.json.encode(event, enc_hook=repr)


def _sink(settings: Settings) -> BinaryIO:
    """The file stays open as long as the process lives."""
    return settings.log_file.expanduser().open("ab") if settings.log_file else cast("BinaryIO", sys.stderr.buffer)


class _Adopted(logging.Handler):
    """What libraries log by the standard library, in our log."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger("dragoman.libraries")
        log.log(record.levelno, "library.said", source=record.name, text=record.getMessage(), exc_info=record.exc_info)


def _adopt_others(threshold: int) -> None:
    logging.basicConfig(handlers=[_Adopted()], level=threshold, force=True)
