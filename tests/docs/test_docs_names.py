"""The page for users of other gateways, row by row. Every log event is documented."""

import re
from pathlib import Path

import click
import pytest
from pages import ROOT, read

from dragoman.cli.main import cli
from dragoman.cli.options import flags_by_setting, format_default, given_flags
from dragoman.config.loading import flag, load, setting_info, variables
from dragoman.config.settings import Settings
from tools.docs.log_events import FIELDS, WHEN, events, log_events_page

PAGE = ROOT / "docs" / "coming-from.md"
ROW = re.compile(r"^\| (?P<known>.+?) \| (?P<here>.+?) \| (?P<last>.*?) ?\|$", re.MULTILINE)
CODE = re.compile("`([^`]+)`")
SETTINGS, EVENTS = (
    [(found["known"], CODE.findall(found["here"]), found["last"].strip("`")) for found in ROW.finditer(part)][2:]
    for part in read(PAGE).split("\n## Events of the log")
)
BY_FLAG = {flag(name): name for name in Settings.model_fields if flag(name)} | {
    other: name
    for name in Settings.model_fields
    for other in (setting_info(name).short, *setting_info(name).aliases)
    if other
}
BY_VARIABLE = {variable: name for name in Settings.model_fields for variable in variables(name)}
SERVE = cli.get_command(click.Context(cli), "serve")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable or file of this machine changes the settings."""
    for variable in BY_VARIABLE:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("key")


def value_of(name: str) -> str | None:
    """Return a value of a setting that is not its default. Return None for a switch."""
    field = Settings.model_fields[name]
    kind = str(field.annotation)
    special = {"backend": "api", "model_aliases": "fast=haiku", "log_level": "debug", "allow_permission_mode": "plan"}
    if field.annotation is bool:
        return None
    return special.get(name) or ("file" if "Path" in kind else "7")


def by_flags(*arguments: str) -> Settings:
    """Return the settings of `serve` with these arguments."""
    assert SERVE is not None
    group = click.Context(cli, **cli.context_settings)
    with SERVE.make_context("serve", list(arguments), parent=group) as context:
        flags = {
            key: value for key, value in context.params.items() if key not in {"verbosity", "background", "output"}
        }
        return load(given_flags(flags_by_setting(flags)))


@pytest.mark.parametrize(("known", "here", "default"), SETTINGS, ids=[row[0] for row in SETTINGS])
def test_settings(known: str, here: list[str], default: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each flag and variable in the table sets the same setting. The default in the table is correct."""
    named = {BY_FLAG[word] for word in here if word in BY_FLAG} | {BY_VARIABLE[w] for w in here if w in BY_VARIABLE}
    assert known
    for name in named:
        value = value_of(name)
        for word in (word for word in here if BY_FLAG.get(word) == name):
            changed = by_flags(word, *([] if value is None else [value]))
            assert getattr(changed, name) != getattr(load({}), name), word
            for variable in (variable for variable in here if BY_VARIABLE.get(variable) == name):
                with monkeypatch.context() as patch:
                    patch.setenv(variable, value or "true")
                    assert getattr(load({}), name) == getattr(changed, name), variable
    if default:
        assert default in {format_default(name).strip("`") for name in named}


@pytest.mark.parametrize(("known", "here"), [row[:2] for row in SETTINGS], ids=[row[0] for row in SETTINGS])
def test_names_exist(known: str, here: list[str]) -> None:
    """Each flag, variable and command in the column of this gateway exists."""
    assert known
    assert SERVE is not None
    others = {option for parameter in SERVE.params for option in parameter.opts} | {"--help", "-h"}
    for word in here:
        if word.startswith("-"):
            assert word in BY_FLAG or word in others
        elif word.isupper():
            assert word in BY_VARIABLE
        elif word.startswith("dragoman "):
            assert cli.get_command(click.Context(cli), word.split()[1]) is not None


def test_older_names() -> None:
    """Short and older flags work as the page describes."""
    assert by_flags("--process-timeout-ms", "1500").run_timeout == 1.5
    assert by_flags("--process-timeout-ms", "1500", "--run-timeout", "3").run_timeout == 3
    assert by_flags("--debug").log_level == "debug"
    assert by_flags("--trace").log_level == "trace"
    assert by_flags("--trace", "--log-level", "off").log_level == "off"
    assert by_flags("--backend", "sdk").backend == "runtime"


def test_every_event_is_documented() -> None:
    """The page of events is that of the code. If not, run `make docs`. No description is left over."""
    assert read(ROOT / "docs" / "log-events.md") == log_events_page()
    assert set(WHEN) == set(events())
    assert set(FIELDS) == {name for event in events().values() for name in event.fields}


def test_levels_and_fields_of_events() -> None:
    """They are those of the calls: levels chosen at run time, facts of an error, and fields added elsewhere."""
    found = events()
    assert found["http.request"].levels == {"info", "warning"}
    assert {"request", "trace", "error", "disconnect", "worker", "tokens"} <= set(found["http.request"].fields)
    assert found["run.event"].levels == {"trace"}
    assert found["runs.lost"].levels == {"error"}
    assert [*found["runs.lost"].fields] == ["count", "exception"]


def test_events_of_other_gateways() -> None:
    """Each event of another gateway is mapped to an event that is logged."""
    ours = set(events())
    assert EVENTS
    for known, here, level in EVENTS:
        assert {word for word in here if "." in word} <= ours, known
        assert level in {"info", "debug", "trace"}
