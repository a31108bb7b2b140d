"""Keys and teams in an SQLite file: the suite of all stores, no secret in the file, and an append-only log."""

import sqlite3
from contextlib import AbstractAsyncContextManager, aclosing, closing
from pathlib import Path

import pytest

from dragoman.core.errors import Conflict, InvalidRequest, NotFound
from dragoman.server.access import AccessBook, invalid_reason
from dragoman.server.admin.access_changes import AccessChanges, KeyChanges, TeamChanges
from dragoman.stores.access import AccessStore, hash_of
from dragoman.stores.sqlite.access import SQLiteAccessStore
from dragoman.testing.access import AccessStoreSuite


class TestSQLiteAccessStore(AccessStoreSuite):
    """The suite, with the file."""

    def opened(self, where: Path) -> AbstractAsyncContextManager[AccessStore]:
        """Open the store of a directory."""
        return aclosing(SQLiteAccessStore(where / "access.db"))


@pytest.mark.parametrize("statement", ["DELETE FROM audit", "UPDATE audit SET entry = x'00'"])
async def test_the_log_of_changes_is_append_only(tmp_path: Path, statement: str) -> None:
    """Also for another program. It has no secret, and neither has any other part of the file."""
    async with aclosing(SQLiteAccessStore(tmp_path / "access.db")) as store:
        _, secret = await AccessChanges(store, "test").create_key("ann", KeyChanges())
        with closing(sqlite3.connect(tmp_path / "access.db")) as db:
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(statement)
            assert secret.encode() not in "\n".join(db.iterdump()).encode()
    files = sorted(tmp_path.glob("access.db*"))  # noqa: ASYNC240 - a test may wait
    assert all(secret.encode() not in path.read_bytes() for path in files)


async def test_the_life_of_a_key(tmp_path: Path) -> None:
    """It is created, limited, rotated with both secrets valid for a time, and revoked; another process sees it all."""
    async with aclosing(SQLiteAccessStore(tmp_path / "access.db")) as store:
        changes, book = AccessChanges(store, "test"), AccessBook(SQLiteAccessStore(tmp_path / "access.db"))
        await changes.change_team("web", TeamChanges(budget=["9usd/week"]), create=True)
        _, first = await changes.create_key("ann", KeyChanges(team="web", rpm="2k", budget="5usd/month", expires="90d"))
        await book.refresh()
        assert [str(rule) for rule in book.rules("ann", "m")] == [
            "team:web dollars/week",
            "key:ann requests",
            "key:ann dollars/month",
        ]
        assert [rule.amount for rule in book.rules("ann", "m")] == [9 * 10**9, 2000, 5 * 10**9]
        _, second = await changes.rotate_key("ann", 60)
        await book.refresh()
        key = book.find(hash_of(first.encode()))
        assert key is not None
        now = key.secrets[-1].created
        hashes = hash_of(first.encode()), hash_of(second.encode())
        assert [invalid_reason(key, one, now + 59) for one in hashes] == [None, None]
        assert [invalid_reason(key, one, now + 61) is None for one in hashes] == [False, True]
        assert "expired" in (invalid_reason(key, hashes[1], now + 91 * 86_400) or "")
        await changes.revoke_key("ann")
        await book.refresh()
        key = book.find(hashes[1])
        assert key is not None
        assert "revoked" in (invalid_reason(key, hashes[1], now) or "")
        assert [entry.action for entry in await store.audit(9)] == ["revoke", "rotate", "create", "create"]
        assert book.store is not None
        await book.store.aclose()


async def test_changes_that_are_refused(tmp_path: Path) -> None:
    """A name is used once, a revoked key stays revoked, and values are checked."""
    async with aclosing(SQLiteAccessStore(tmp_path / "access.db")) as store:
        changes = AccessChanges(store, "test", frozenset({"toml"}))
        await changes.create_key("ann", KeyChanges())
        await changes.revoke_key("ann")
        for name, key, error in (
            ("ann", KeyChanges(), Conflict),
            ("toml", KeyChanges(), Conflict),
            ("admin", KeyChanges(), InvalidRequest),
            ("../x", KeyChanges(), InvalidRequest),
            ("bob", KeyChanges(team="nowhere"), NotFound),
            ("bob", KeyChanges(budget="5"), InvalidRequest),
            ("bob", KeyChanges(budget="5usd/day,6usd/day"), InvalidRequest),
            ("bob", KeyChanges(rpm="0"), InvalidRequest),
            ("bob", KeyChanges(expires="soon"), InvalidRequest),
        ):
            with pytest.raises(error):
                await changes.create_key(name, key)
        with pytest.raises(Conflict):
            await changes.rotate_key("ann")
        with pytest.raises(NotFound):
            await changes.update_key("eve", KeyChanges())
