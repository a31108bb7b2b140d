"""`dragoman migrate sqlite-to-postgres`: the state of one machine in the stores of many nodes."""

import shutil
import sqlite3
from contextlib import aclosing, closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from engine_fixtures import Postgres, opened_server
from test_older_state import CHAT, FILES, FIRST, QUESTION, RUN, SECOND

from dragoman.cli.instances import InstanceRecord, InstanceRegistry
from dragoman.cli.main import cli
from dragoman.stores.access import AccessStore, AuditEntry, KeyRecord
from dragoman.stores.ledger import LedgerFilter, LedgerRow
from dragoman.stores.migration import copy_state
from dragoman.stores.outbox import Outbox
from dragoman.stores.postgres.stores import PostgresStores
from dragoman.stores.sqlite.stores import SQLiteStores
from dragoman.testing import Clock

NOW = 1795844150.0
"""When the older state was written."""
DAY = 86_400.0


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a state directory of an older version, with what a killed gateway has left in its outbox."""
    copied = shutil.copytree(FILES, tmp_path / "state")
    outbox = Outbox(copied / "outbox", "1@1.0-gone")
    outbox.write(LedgerRow(run="run_left", began=NOW, nanodollars=7))
    outbox.close(keep=True)
    return copied


async def create_key(store: AccessStore, name: str, model: str) -> None:
    """Create a key that may use one model."""
    entry = AuditEntry(at=NOW, actor="test", action="create", kind="key", name=name, detail={"models": [model]})
    await store.change_key(name, lambda _known, _teams: (KeyRecord(name=name, models=(model,)), entry))


async def test_all_that_is_stored_is_copied_once(postgres: Postgres, tmp_path: Path, state: Path) -> None:
    """Readable with the other key, after an interruption and a repetition, beside what was there before."""
    source, clock = SQLiteStores(state), Clock()
    clock.now = NOW
    async with aclosing(source.access()) as access:
        await create_key(access, "ann", "sonnet")
        await create_key(access, "bob", "sonnet")
    async with aclosing(source.ledger()) as ledger:
        await ledger.add([LedgerRow(run=f"run_{index}", began=NOW, nanodollars=2) for index in range(500)])
    with closing(sqlite3.connect(state / "thinking.db")) as connection:
        thoughts = [name for (name,) in connection.execute("SELECT name FROM kept").fetchall()]
    async with opened_server(postgres, tmp_path) as server:
        target = PostgresStores(server, clock)
        async with aclosing(target.access()) as access:
            await create_key(access, "bob", "haiku")
        async with aclosing(copy_state(source, target, state)) as interrupted:
            while (await anext(interrupted)).name != "stored responses":
                pass
        first = {copied.name: copied async for copied in copy_state(source, target, state)}
        again = {copied.name: copied async for copied in copy_state(source, target, state)}
        async with aclosing(target.access()) as access:
            keys = (await access.load()).keys
            audit = [(entry.name, entry.detail["models"]) for entry in await access.audit(10)]
        async with aclosing(target.responses()) as responses:
            chat, chain = await responses.get("key", CHAT), await responses.chain("key", SECOND)
        async with aclosing(target.runs(ttl=DAY, entries=100)) as runs:
            run = await runs.get(RUN)
        async with aclosing(target.key_values(ttl=DAY, entries=100)) as kept:
            thinking = await kept.get(thoughts)
        async with aclosing(target.ledger()) as ledger:
            spent = await ledger.spent(LedgerFilter())
    assert {name: key.models for name, key in keys.items()} == {"ann": ("sonnet",), "bob": ("haiku",)}
    assert audit == [("bob", ["sonnet"]), ("ann", ["sonnet"]), ("bob", ["haiku"])]
    assert chat is not None
    assert [entry.id for entry in chain] == [FIRST, SECOND]
    assert run is not None
    assert run.prompt is not None
    assert QUESTION in str(run.prompt["messages"])
    assert thinking.keys() == set(thoughts)
    assert spent == 1_500_000_000 + 7 + 500 * 2
    assert (first["stored responses"].found, first["stored responses"].added) == (3, 0)
    assert (first["rows of the ledger"].found, first["rows of the ledger"].added) == (502, 502)
    assert not any(copied.added for copied in again.values())
    assert {name: copied.found for name, copied in again.items()} == {name: one.found for name, one in first.items()}


def test_the_command_says_what_it_copied(database: str, state: Path) -> None:
    """And refuses a state directory that a gateway uses, and a server that is not named."""

    def migrate(*arguments: str) -> tuple[int, str]:
        words = ["migrate", "sqlite-to-postgres", f"--state-dir={state}", *arguments]
        done = CliRunner().invoke(cli, words, env={"DRAGOMAN_ENCRYPTION_KEY": "a key of all nodes"})
        return done.exit_code, done.output

    unnamed = migrate()
    with InstanceRegistry(state).register(InstanceRecord(host="127.0.0.1", port=8787, grace=0, arguments=())):
        refused = migrate(f"--database={database}")
    copied, again = migrate(f"--database={database}"), migrate(f"--database={database}")
    assert unnamed[0] == refused[0] == 1
    assert "--database" in unnamed[1]
    assert "http://127.0.0.1:8787" in refused[1]
    assert (copied[0], again[0]) == (0, 0)
    assert "        3 stored responses\n" in copied[1]
    assert "        0 stored responses, 3 already there\n" in again[1]
