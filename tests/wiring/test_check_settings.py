"""Checks of settings at the start."""

import sqlite3
from pathlib import Path

import pytest
from scripted import ScriptedBackend, clean, replies

from dragoman.config.loading import BadSettings, load
from dragoman.wiring.checks import check_settings
from dragoman.wiring.gateway import build

_clean = pytest.fixture(autouse=True)(clean)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"host": "192.0.2.1"}, "where others can reach it, and no key is set"),
        ({"default_model": "no-such-model"}, r"default_model \(--default-model, DRAGOMAN_DEFAULT_MODEL\)"),
        ({"models": ("no-such-model",)}, r"models \(--models, DRAGOMAN_MODELS\)"),
        ({"fetch_urls": ("a b",)}, r"fetch_urls \(--fetch-urls, DRAGOMAN_FETCH_URLS\): `a b` is not a host"),
        ({"embeddings_url": "http://127.0.0.1:1"}, "needs the name of a model there"),
        ({"allow_dir": (".",), "backend": "api"}, "needs `--backend runtime`"),
        ({"cloud": "vertex"}, "needs `--backend api`"),
        ({"signed_in": True, "backend": "api"}, "only Claude Code may use"),
        ({"claude_command": "/nowhere/claude"}, "is not a program that can be run"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, object], text: str) -> None:
    """Each with its name and what to do, before anything is opened."""
    with pytest.raises(BadSettings, match=text):
        check_settings(load(given, env_file=None))


def test_backend_settings_are_not_checked_for_a_backend_of_the_caller() -> None:
    """All others are."""
    check_settings(load({"cloud": "vertex"}, env_file=None), backend=False)
    with pytest.raises(BadSettings, match="no key is set"):
        check_settings(load({"host": "192.0.2.1"}, env_file=None), backend=False)


async def test_an_old_sqlite_is_refused_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its version, with what to do: the ledger of every gateway is in such a file."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    state = {"state_dir": tmp_path}
    with pytest.raises(BadSettings, match=r"too old: Dragoman needs 3\.37 or newer\. Update the SQLite library"):
        async with build(load(state, env_file=None), ScriptedBackend(replies("Hello"))):
            pass


async def test_settings_are_checked_once(tmp_path: Path) -> None:
    """`dragoman serve` checks them before it binds a port, and says so."""
    refused = load({"state_dir": tmp_path, "host": "192.0.2.1"}, env_file=None)
    with pytest.raises(BadSettings):
        async with build(refused, ScriptedBackend(replies("Hello"))):
            pass
    async with build(refused, ScriptedBackend(replies("Hello")), checked=True):
        pass
