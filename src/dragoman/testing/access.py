"""The test suite of every `AccessStore`."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from msgspec.structs import replace

from dragoman.stores.access import AccessState, AccessStore, AuditEntry, KeyRecord, TeamRecord, new_secret


def _entry(action: str, name: str) -> AuditEntry:
    return AuditEntry(at=1.0, actor="test", action=action, kind="key", name=name, detail={"team": None})


def _create(name: str) -> KeyRecord:
    return KeyRecord(name=name, secrets=(new_secret(1.0)[1],))


class AccessStoreSuite:
    """Tests of an `AccessStore`. A subclass defines how a store is opened."""

    def opened(self, where: Path) -> AbstractAsyncContextManager[AccessStore]:
        """Open a store.

        Args:
            where: A directory of the test. Stores opened for the same directory share their keys.
        """
        raise NotImplementedError

    async def test_an_empty_store(self, tmp_path: Path) -> None:
        """It has no keys, no teams and no changes."""
        async with self.opened(tmp_path) as store:
            assert await store.load() == AccessState(await store.version(), {}, {})
            assert await store.audit(10) == []

    async def test_a_change_is_seen_by_another_process(self, tmp_path: Path) -> None:
        """With its entry in the log, and a new version."""
        async with self.opened(tmp_path) as store, self.opened(tmp_path) as other:
            before = await other.version()
            record = _create("ann")
            assert await store.change_key("ann", lambda _known, _teams: (record, _entry("create", "ann"))) == record
            team = TeamRecord(name="web")
            await store.change_team("web", lambda _known, _keys: (team, _entry("create", "web")))
            state = await other.load()
            assert (state.keys, state.teams) == ({"ann": record}, {"web": team})
            assert state.version == await other.version() > before
            assert [(entry.action, entry.name) for entry in await other.audit(1)] == [("create", "web")]
            assert [entry.name for entry in await other.audit(10)] == ["web", "ann"]

    async def test_changes_at_the_same_time_are_all_kept(self, tmp_path: Path) -> None:
        """Each sees the record that the one before it has left."""

        def add(known: KeyRecord | None, _teams: Mapping[str, TeamRecord]) -> tuple[KeyRecord, AuditEntry]:
            record = known or KeyRecord(name="ann")
            return replace(record, models=(*record.models, str(len(record.models)))), _entry("update", "ann")

        async with self.opened(tmp_path) as store, self.opened(tmp_path) as other:
            await asyncio.gather(*(one.change_key("ann", add) for one in [store, other] * 5))
            assert (await store.load()).keys["ann"].models == tuple(map(str, range(10)))
            assert len(await store.audit(100)) == 10

    async def test_a_change_that_raises_changes_nothing(self, tmp_path: Path) -> None:
        """Neither the record nor the log."""

        def refuse(_known: KeyRecord | None, _teams: Mapping[str, TeamRecord]) -> tuple[KeyRecord, AuditEntry]:
            raise LookupError("no")

        async with self.opened(tmp_path) as store:
            try:
                await store.change_key("ann", refuse)
            except LookupError:
                pass
            else:
                raise AssertionError("The error is raised to the caller.")
            assert (await store.load()).keys == {}
            assert await store.audit(10) == []
