"""`dragoman doctor --cluster`: one line for each check, and what to do."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from engine_fixtures import RedisProcess

from dragoman.cli.main import cli

KEY = "a key that all nodes have"


def checked(folder: Path, *flags: str) -> tuple[int, dict[str, tuple[bool, str]]]:
    """Return the exit code, and the result and detail of each check."""
    arguments = ["doctor", "--cluster", "--json", "--state-dir", str(folder), *flags]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    return result.exit_code, {one["name"]: (one["ok"], one["detail"]) for one in json.loads(result.output)}


def test_what_works(tmp_path: Path, database: str, redis_process: RedisProcess) -> None:
    """Both servers, their clocks and the key. A machine with another key, or without Redis, is named."""
    flags = ["--database", database, "--redis", redis_process.url]
    _, found = checked(tmp_path / "one", *flags, "--encryption-key", KEY)
    right = ("PostgreSQL", "PostgreSQL: clock", "encryption key", "nodes", "Redis", "Redis: clock")
    assert {name: found[name][0] for name in right} == dict.fromkeys(right, True)
    assert set(found) == {*right, "PostgreSQL: latency", "Redis: latency"}
    code, found = checked(tmp_path / "two", "--database", database, "--encryption-key", KEY[::-1])
    assert (code, found["encryption key"][0]) == (1, False)
    assert found["Redis"][1].startswith("none")


def test_what_cannot_be_reached(tmp_path: Path) -> None:
    """Each server is checked; no password is printed."""
    flags = ["--database", "postgresql://me:planted@127.0.0.1:1/n", "--redis", "redis://:planted@127.0.0.1:1"]
    code, found = checked(tmp_path, *flags, "--encryption-key", KEY)
    assert code == 1
    assert {name: ok for name, (ok, _) in found.items()} == {"PostgreSQL": False, "Redis": False}
    assert "planted" not in str(found)


@pytest.mark.parametrize(
    ("flags", "text"), [((), "There is no cluster"), (("--database", "postgresql://h/n"), "needs encryption_key")]
)
def test_settings_without_a_cluster_are_refused(flags: tuple[str, ...], text: str, tmp_path: Path) -> None:
    """With what to do."""
    result = CliRunner().invoke(cli, ["doctor", "--cluster", "--state-dir", str(tmp_path), *flags])
    assert result.exit_code == 1
    assert text in result.output
