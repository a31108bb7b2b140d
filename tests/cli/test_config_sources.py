"""Every setting from every source, with the installed command."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from commands import run
from setting_values import FROM_FILES, written

from dragoman.config.loading import all_setting_info, flag, is_secret, variables
from dragoman.config.settings import Settings

PLAIN = [name for name in Settings.model_fields if name not in FROM_FILES]
BY_FLAG = [name for name in PLAIN if flag(name)]

Found = dict[str, tuple[object, str, str]]


def shown(name: str) -> object:
    """Return a value as `config --json` prints it."""
    value = written(name)[1]
    if is_secret(name):
        return True
    return json.loads(json.dumps(list(value) if isinstance(value, tuple) else value, default=str))


async def found(home: Path, *arguments: str, **added: str) -> Found:
    """Return the settings that are not at their default: value, kind of source, and name in the source."""
    ended = await run(home, "config", "--json", *arguments, added=added)
    assert (ended.code, ended.err) == (0, "")
    rows = json.loads(ended.out)["settings"]
    result = {name: (row["value"], row["source"], row["named"]) for name, row in rows.items()}
    return {name: row for name, row in result.items() if row[1] != "default"}


def expected(kind: str, named: Mapping[str, str]) -> Found:
    """Return the expected settings, all from one kind of source."""
    return {name: (shown(name), kind, how) for name, how in named.items()}


async def test_every_flag(tmp_path: Path) -> None:
    """Each flag sets its setting and is reported as the source."""
    named = {name: str(flag(name)) for name in BY_FLAG}
    words = [part for name, option in named.items() for part in _as_typed(name, option)]
    assert await found(tmp_path, *words) == expected("flag", named)


def _as_typed(name: str, option: str) -> tuple[str, ...]:
    return (option,) if Settings.model_fields[name].annotation is bool else (option, written(name)[0])


async def test_switches_can_be_turned_off(tmp_path: Path) -> None:
    """Each switch has a `--no-…` flag, which overrides a variable that turns it on."""
    switches = [name for name in BY_FLAG if Settings.model_fields[name].annotation is bool]
    words = {name: f"--no-{str(flag(name))[2:]}" for name in switches}
    on = {variables(name)[0]: "true" for name in switches}
    assert await found(tmp_path, *words.values(), **on) == {n: (False, "flag", word) for n, word in words.items()}


async def test_every_other_name_of_a_flag(tmp_path: Path) -> None:
    """Short flags, and the names of other gateways, set the same settings."""
    others = [
        (name, other) for name, given in all_setting_info().items() for other in (given.short, *given.aliases) if other
    ]
    words = [part for name, other in others for part in (other, written(name)[0])]
    assert {other for _, other in others} >= {"-p", "--allowed-working-directory-prefixes"}
    assert await found(tmp_path, *words) == expected("flag", {name: str(flag(name)) for name, _ in others})


@pytest.mark.parametrize("strength", [0, 1], ids=["own", "fallback"])
async def test_every_variable(tmp_path: Path, strength: int) -> None:
    """Each setting can be given by its variable and by its fallback variable."""
    named = {name: variables(name)[strength] for name in PLAIN if len(variables(name)) > strength}
    given = {variable: written(name)[0] for name, variable in named.items()}
    assert await found(tmp_path, **given) == expected("variable", named)


async def test_every_line_of_an_env_file(tmp_path: Path) -> None:
    """Each variable can be given in `.env`."""
    lines = {name: f"{variables(name)[0]}='{written(name)[0]}'" for name in PLAIN}
    (tmp_path / ".env").write_text("\n".join(lines.values()))
    assert await found(tmp_path) == expected("env_file", {name: f".env: {variables(name)[0]}" for name in PLAIN})


async def test_every_line_of_a_settings_file(tmp_path: Path) -> None:
    """Each setting can be given in TOML, also with hyphens, in the default file or one from a flag or variable."""
    file = tmp_path / "config" / "dragoman" / "dragoman.toml"
    file.parent.mkdir(parents=True)
    file.write_text("\n".join(f"{name.replace('_', '-')} = {json.dumps(written(name)[0])}" for name in PLAIN))
    rows = expected("file", dict.fromkeys(PLAIN, str(file)))
    assert await found(tmp_path) == rows
    moved = file.rename(tmp_path / "my.toml")
    rows = expected("file", dict.fromkeys(PLAIN, "my.toml"))
    by_flag, by_variable = ("my.toml", "flag", "--config"), ("my.toml", "variable", "DRAGOMAN_CONFIG")
    assert await found(tmp_path, "--config", moved.name) == {**rows, "config": by_flag}
    assert await found(tmp_path, DRAGOMAN_CONFIG=moved.name) == {**rows, "config": by_variable}


async def test_precedence(tmp_path: Path) -> None:
    """Flag, variable, fallback variable, `.env`, TOML, default: each overrides all that follow."""
    env, toml = tmp_path / ".env", tmp_path / "my.toml"
    env.write_text("DRAGOMAN_PORT=4\n")
    toml.write_text("port = 5\n")
    config = {"DRAGOMAN_CONFIG": "my.toml"}
    own, other = {"DRAGOMAN_PORT": "2"}, {"PORT": "3"}
    assert (await found(tmp_path, "-p", "1", **own, **other, **config))["port"] == (1, "flag", "--port")
    assert (await found(tmp_path, **own, **other, **config))["port"] == (2, "variable", "DRAGOMAN_PORT")
    assert (await found(tmp_path, **other, **config))["port"] == (3, "variable", "PORT")
    assert (await found(tmp_path, **config))["port"] == (4, "env_file", ".env: DRAGOMAN_PORT")
    env.unlink()
    assert (await found(tmp_path, **config))["port"] == (5, "file", "my.toml")
    toml.write_text("")
    assert "port" not in await found(tmp_path, **config)


async def test_lists_of_flags(tmp_path: Path) -> None:
    """A list flag can be repeated or contain commas. The rule of a tool is not split at its commas."""
    words = ("--models", "opus, haiku", "--models", "sonnet", "--allow-host", "a.example,b.example")
    result = await found(tmp_path, *words, "--allow-tool", "Bash(git add a,b), WebFetch")
    assert result["models"][0] == ["opus", "haiku", "sonnet"]
    assert result["allow_host"][0] == ["a.example", "b.example"]
    assert result["allow_tool"][0] == ["Bash(git add a,b)", "WebFetch"]
