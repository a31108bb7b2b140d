"""What stores in PostgreSQL do beyond the suites: migrations, processes, clocks, encryption and failures."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest
from engine_fixtures import KEY, Postgres, opened_server, schema_of

from dragoman.core.errors import StoreFailed
from dragoman.stores.postgres.schema import MIGRATIONS
from dragoman.stores.postgres.server import ENDED_SECONDS, PostgresServer
from dragoman.stores.postgres.stores import PostgresStores
from dragoman.stores.recordings import RecordingName
from dragoman.testing.ledger import row
from dragoman.testing.run_records import ids, record

DAY = 86_400.0


def execute(postgres: Postgres, where: Path, sql: str) -> list[Any]:
    """Execute a statement in the schema of a directory, as another program."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"SET search_path = {schema_of(where)}")
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


async def test_nodes_that_start_at_the_same_time_make_the_tables_once(postgres: Postgres, tmp_path: Path) -> None:
    """One of them does, and the others wait for it."""
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(opened_server(postgres, tmp_path, node=f"n{one}")) for one in range(5)]
        versions = await asyncio.gather(*(PostgresStores(node).access().version() for node in nodes))
        assert versions == [0] * 5
    made = [(number, 1) for number, _ in enumerate(MIGRATIONS, 1)]
    assert execute(postgres, tmp_path, "SELECT * FROM schema_version") == made


async def test_a_version_works_at_the_same_time_as_the_next_one(postgres: Postgres, tmp_path: Path) -> None:
    """As in a rolling upgrade: the next version adds to the tables, and nodes of this one continue, and may restart."""
    async with opened_server(postgres, tmp_path, node="old") as old:
        stores = PostgresStores(old)
        await stores.runs(ttl=DAY, entries=10).save([record("run_a", created=old.clock())])
        newer = "ALTER TABLE runs ADD COLUMN region TEXT NOT NULL DEFAULT ''; CREATE TABLE regions (name TEXT);"
        async with opened_server(postgres, tmp_path, node="new", migrations=(*MIGRATIONS, newer)) as new:
            runs = PostgresStores(new).runs(ttl=DAY, entries=10)
            await runs.save([record("run_b", created=new.clock())])
        await stores.runs(ttl=DAY, entries=10).save([record("run_c", created=old.clock())])
    async with opened_server(postgres, tmp_path, node="old") as old:
        assert await ids(PostgresStores(old).runs(ttl=DAY, entries=10)) == ["run_c", "run_b", "run_a"]


async def test_tables_that_need_a_newer_version_are_left_alone(postgres: Postgres, tmp_path: Path) -> None:
    """The log says which version to run; the client learns only that the store cannot be used."""
    async with opened_server(postgres, tmp_path) as server:
        await PostgresStores(server).access().version()
    execute(postgres, tmp_path, "INSERT INTO schema_version VALUES (99, 99)")
    async with opened_server(postgres, tmp_path) as server:
        store = PostgresStores(server).access()
        with pytest.raises(StoreFailed, match="Keys and teams cannot be read"):
            await store.version()
        assert (
            f"newer version of Dragoman (format 99, known here: {len(MIGRATIONS)})" in store.failures()["store access"]
        )


@pytest.mark.parametrize(
    "statement", ["DELETE FROM ledger", "UPDATE ledger SET nanodollars = 0", "TRUNCATE ledger", "DELETE FROM audit"]
)
async def test_rows_are_never_changed(postgres: Postgres, tmp_path: Path, statement: str) -> None:
    """Neither of the ledger nor of the audit log, and not by another program, either."""
    async with opened_server(postgres, tmp_path) as server:
        await PostgresStores(server).ledger().add([row("run_a")])
        with pytest.raises(psycopg.IntegrityError, match="append-only"):
            execute(postgres, tmp_path, statement)


async def test_open_runs_of_a_node_that_died_have_failed(postgres: Postgres, tmp_path: Path) -> None:
    """After some seconds without a sign of life; at once if the node was stopped. Those of live nodes are open."""
    async with AsyncExitStack() as stack:
        one, two, three = [
            await stack.enter_async_context(opened_server(postgres, tmp_path, node=name))
            for name in ("one", "two", "three")
        ]
        for server, id_ in ((one, "run_a"), (two, "run_b"), (three, "run_c")):
            runs = PostgresStores(server).runs(ttl=DAY, entries=10)
            await runs.save([record(id_, "running", created=server.clock())])
        runs = PostgresStores(one).runs(ttl=DAY, entries=10)
        assert await ids(runs, statuses=("running",)) == ["run_c", "run_b", "run_a"]
        await two.aclose()
        assert await ids(runs, statuses=("running",)) == ["run_c", "run_a"]
        execute(postgres, tmp_path, f"UPDATE processes SET seen = seen - {ENDED_SECONDS} WHERE name LIKE 'three~%'")  # noqa: S608 - constant
        assert await ids(runs, statuses=("running",)) == ["run_a"]
        dead = await runs.get("run_c")
        assert dead is not None
        assert (dead.status, dead.error) == ("failed", "interrupted")


async def test_the_clock_is_that_of_the_server(postgres: Postgres, tmp_path: Path) -> None:
    """It does not matter how the clock of a node is set."""
    async with opened_server(postgres, tmp_path) as server:
        server._offset += 5000
        await PostgresStores(server).access().version()
        [[now]] = execute(postgres, tmp_path, "SELECT extract(epoch FROM clock_timestamp())")
        assert server.clock() == pytest.approx(float(now), abs=60)


async def test_what_one_node_encrypts_another_can_read(postgres: Postgres, tmp_path: Path) -> None:
    """With the same key. With another one there is nothing to read, and the table shows nothing."""
    async with (
        opened_server(postgres, tmp_path, node="one") as one,
        opened_server(postgres, tmp_path, node="two") as two,
    ):
        await PostgresStores(one).key_values(ttl=DAY, entries=9).put("a", b"a planted secret")
        assert await PostgresStores(two).key_values(ttl=DAY, entries=9).get(["a"]) == {"a": b"a planted secret"}
        [[value]] = execute(postgres, tmp_path, "SELECT value FROM kept")
        assert b"planted" not in value
        other = PostgresServer(postgres.url, node="three", key=KEY[::-1], schema=schema_of(tmp_path))
        assert await PostgresStores(other).key_values(ttl=DAY, entries=9).get(["a"]) == {}
        await other.aclose()


async def test_a_name_with_a_character_that_postgres_refuses(postgres: Postgres, tmp_path: Path) -> None:
    """It is a name like others."""
    async with opened_server(postgres, tmp_path) as server:
        store = PostgresStores(server).recordings(ttl=10, size=1000, alive=lambda _: True)
        assert await store.claim(RecordingName("ann\0", "key"), b"r", "me") is None


async def test_nothing_fails_after_a_restart_of_the_server(postgres: Postgres, tmp_path: Path) -> None:
    """A connection that it has closed is replaced. While it is away, calls fail at once and say so."""
    async with opened_server(postgres, tmp_path) as server:
        ledger = PostgresStores(server).ledger()
        await ledger.add([row("run_a")])
        postgres.control("restart")
        assert await ledger.add([row("run_b")]) == {"run_b"}
        postgres.control("stop")
        for _ in range(2):
            with pytest.raises(StoreFailed, match="cannot be used now") as failure:
                await ledger.add([row("run_c")])
            assert "postgres-" not in failure.value.message
        assert list(ledger.failures()) == ["store ledger"]
        postgres.control("start")
        server._away_until = 0.0
        assert await ledger.add([row("run_c")]) == {"run_c"}
        assert ledger.failures() == {}
