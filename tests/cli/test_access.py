"""`dragoman keys`, `dragoman teams` and `dragoman usage`, on the files of a state directory."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dragoman.cli.main import cli
from dragoman.stores.ledger import LedgerRow, Tokens
from dragoman.stores.sqlite.ledger import SQLiteLedger


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a state directory without settings of this machine."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("DRAGOMAN_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "state"


def run(*words: str, fails: bool = False) -> str:
    """Run a command, and return what it prints."""
    result = CliRunner().invoke(cli, words)
    assert (result.exit_code != 0) == fails, result.output
    return result.output


def test_an_owner_gives_a_key_and_takes_it_back(state: Path) -> None:
    """The secret is shown when it is made, and never again."""
    run("teams", "create", "web", "--budget", "9usd/day")
    made = json.loads(
        run("keys", "create", "ann", "--team", "web", "--budget", "5usd/month", "--tpm", "200k", "--json")
    )
    assert (made["team"], made["budget"], made["tpm"]) == ("web", ["5usd/month"], 200_000)
    rotated = json.loads(run("keys", "rotate", "ann", "--grace", "2h", "--json"))
    assert rotated["secret"] != made["secret"]
    shown = (
        run("keys", "list") + run("keys", "show", "ann") + run("keys", "audit", "--json") + run("teams", "show", "web")
    )
    assert made["secret"] not in shown
    assert rotated["secret"] not in shown
    assert "$5.00" in shown
    run("keys", "update", "ann", "--tpm", "none", "--team", "none", "--model-limit", "opus:rpm=5,budget=2usd/day")
    changed = json.loads(run("keys", "show", "ann", "--json"))
    assert (changed["tpm"], changed["team"], changed["model_limits"]["opus"]["rpm"]) == (None, None, 5)
    run("teams", "delete", "web")
    run("keys", "revoke", "ann")
    assert "revoked" in run("keys", "list")
    assert "was revoked" in run("keys", "rotate", "ann", fails=True)
    assert (state / "access.db").stat().st_mode & 0o777 == 0o600


def test_usage_is_summed_by_columns(state: Path) -> None:
    """In JSON and as a table."""

    async def fill() -> None:
        ledger = SQLiteLedger(state / "ledger.db")
        rows = [
            LedgerRow(run=f"run_{number}", began=1.8e9, key=key, model="m", tokens=Tokens(input=2), nanodollars=10**9)
            for number, key in enumerate(("ann", "ann", "bob"))
        ]
        await ledger.add(rows)
        await ledger.aclose()

    asyncio.run(fill())
    report = json.loads(run("usage", "--by", "key,model,day", "--json"))
    assert [(row["key"], row["day"], row["runs"], row["cost"]) for row in report["rows"]] == [
        ("ann", "2027-01-15", 2, 2.0),
        ("bob", "2027-01-15", 1, 1.0),
    ]
    assert report["total"]["nanodollars"] == 3 * 10**9
    assert "$3.0000" in run("usage")
    assert "--simulated shows them" not in run("usage")
    assert "--simulated shows them" in run("usage", "--since", "yesterday", "--until", "today", "--key", "dan")
    assert "--simulated shows them" not in run("usage", "--key", "dan", "--simulated")
    assert "not a column" in run("usage", "--by", "nothing", fails=True)
