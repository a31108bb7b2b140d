"""The log of the process."""

import pytest

from dragoman.core import log
from log_lines import log_lines


def test_events_have_a_level_and_fields() -> None:
    """A field may be called like a parameter of the functions."""
    with log_lines() as lines:
        log.debug("a", event_id=1)
        log.info("b", name="x")
        log.at("critical", "c")
    assert lines == [
        {"level": "debug", "event": "a", "event_id": 1},
        {"level": "info", "event": "b", "name": "x"},
        {"level": "critical", "event": "c"},
    ]


@pytest.mark.parametrize(
    ("lowest", "expected"), [("trace", "abcd"), ("debug", "abcd"), ("info", "bcd"), ("warning", "cd"), ("error", "d")]
)
def test_lower_levels_are_left_out(lowest: str, expected: str) -> None:
    """Those below `debug` are for who writes: its events have another level in a field."""
    seen: list[object] = []
    with log.redirected(lambda _, fields: seen.append(fields["event"]), log.RANKS[lowest]):
        log.debug("a")
        log.info("b")
        log.warning("c")
        log.error("d")
    assert "".join(map(str, seen)) == expected


def test_an_exception_has_its_traceback() -> None:
    """The current one, or one that is named. The text ends without a line end."""
    try:
        int("wrong")
    except ValueError as error:
        current, named = log.format_exception(exc_info=True), log.format_exception(error)
    assert current == named
    assert current.startswith("Traceback")
    assert current.endswith("'wrong'")
    assert log.format_exception(exc_info=None) == log.format_exception(exc_info=True) == ""


def test_a_process_without_settings_logs_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Such as a helper process, or a program that uses a part of the package."""
    with log.redirected(log._write_plainly, log.RANKS["info"]):
        log.warning("a", b="c", exc_info=ValueError("wrong"))
        log.debug("unseen")
    captured = capsys.readouterr()
    assert captured.err == "warning a b='c'\nValueError: wrong\n"
    assert captured.out == ""
