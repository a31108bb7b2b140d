"""The test suite of every `ResponseStore`."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from dragoman.stores.base import EntryQuery, QueuedEntry, ResponseStore, ResponseStoreLimits, StoredEntry
from dragoman.testing.key_values import Clock

_HOUR = 3600.0
LIMITS = ResponseStoreLimits(ttl=24 * _HOUR, entries=100, size=10_000, lease=30)


def entry(id_: str, parent: str | None = None, body: bytes = b"{}", **metadata: str) -> StoredEntry:
    """Return an entry of `ann`."""
    return StoredEntry(
        id=id_, owner="ann", kind="answer", model="m", created=1, parent=parent, metadata=metadata, body=body
    )


async def ids(store: ResponseStore, owner: str = "ann", **query: object) -> list[str]:
    """Return the ids on a page."""
    page = await store.page(owner, EntryQuery(kind="answer", **query))  # type: ignore[arg-type] # fields of the class
    assert page is not None
    return [one.id for one in page.entries]


class ResponseStoreSuite:
    """Tests of a `ResponseStore`. A subclass defines how a store is opened."""

    def opened(
        self, where: Path, limits: ResponseStoreLimits, clock: Clock
    ) -> AbstractAsyncContextManager[ResponseStore]:
        """Open a store.

        Args:
            where: An empty directory of the test. Stores opened for the same directory share their entries.
            limits: How much is stored.
            clock: Seconds since 1970.
        """
        raise NotImplementedError

    async def test_entries_are_returned_unchanged(self, tmp_path: Path) -> None:
        """To their owner only, also by another store of the same directory."""
        made = entry("a", None, b'{"bytes": "\xc3\xbc"}', topic='it\'s "quoted"')
        async with self.opened(tmp_path, LIMITS, Clock()) as store, self.opened(tmp_path, LIMITS, Clock()) as other:
            await store.add(made)
            for one in (store, other):
                found = await one.get("ann", "a")
                assert found is not None
                assert (found.entry, found.pending, found.abandoned) == (made, False, False)
            assert await store.get("bob", "a") is None
            assert await store.get("ann", "b") is None

    async def test_add_is_idempotent(self, tmp_path: Path) -> None:
        """The first body stays."""
        async with self.opened(tmp_path, LIMITS, Clock()) as store:
            await store.add(entry("a", None, b"first"))
            await store.add(entry("a", None, b"second"))
            found = await store.get("ann", "a")
            assert found is not None
            assert found.entry.body == b"first"
            assert await ids(store) == ["a"]

    async def test_a_chain_holds_all_ancestors(self, tmp_path: Path) -> None:
        """The oldest first, and no entry of another branch."""
        async with self.opened(tmp_path, LIMITS, Clock()) as store:
            for one in (entry("a"), entry("b", "a"), entry("c", "b"), entry("x", "a")):
                await store.add(one)
            assert [one.id for one in await store.chain("ann", "c")] == ["a", "b", "c"]
            assert [one.id for one in await store.chain("ann", "x")] == ["a", "x"]
            assert await store.chain("bob", "c") == []
            assert await store.chain("ann", "none") == []

    async def test_deleted_entries_are_hidden(self, tmp_path: Path) -> None:
        """Chains of later entries still hold them. Deleting a missing entry does nothing."""
        async with self.opened(tmp_path, LIMITS, Clock()) as store:
            await store.add(entry("a"))
            await store.add(entry("b", "a"))
            assert not await store.delete("bob", "a")
            assert await store.delete("ann", "a")
            assert not await store.delete("ann", "a")
            assert await store.get("ann", "a") is None
            assert await store.chain("ann", "a") == []
            assert await ids(store) == ["b"]
            assert not await store.update(entry("a", None, b"changed"))
            assert [one.id for one in await store.chain("ann", "b")] == ["a", "b"]

    async def test_entries_expire(self, tmp_path: Path) -> None:
        """Chains of later entries hold them until those expire."""
        clock = Clock()
        async with self.opened(tmp_path, LIMITS, clock) as store:
            await store.add(entry("a"))
            clock.now += 20 * _HOUR
            await store.add(entry("b", "a"))
            clock.now += 4 * _HOUR
            await store.add(entry("c"))
            assert await store.get("ann", "a") is None
            assert [one.id for one in await store.chain("ann", "b")] == ["a", "b"]
            clock.now += 20 * _HOUR
            assert await store.chain("ann", "b") == []
            assert await ids(store) == ["c"]

    async def test_the_least_recently_used_conversation_is_deleted_first(self, tmp_path: Path) -> None:
        """From its end, so that no entry loses its ancestors."""
        limits = ResponseStoreLimits(entries=4, size=10_000)
        async with self.opened(tmp_path, limits, Clock()) as store:
            for one in (entry("a"), entry("x"), entry("b", "a"), entry("y", "x"), entry("c", "b")):
                await store.add(one)
            assert await ids(store) == ["a", "x", "b", "c"]
            await store.add(entry("d", "c"))
            assert await ids(store) == ["a", "b", "c", "d"]
            await store.add(entry("e", "d"))
            assert [one.id for one in await store.chain("ann", "e")] == ["a", "b", "c", "d", "e"]

    async def test_bytes_are_limited(self, tmp_path: Path) -> None:
        """Including bytes of updated bodies and of events."""
        async with self.opened(tmp_path, ResponseStoreLimits(size=1000), Clock()) as store:
            for name in ("a", "b", "c"):
                await store.add(entry(name, None, bytes(300)))
            assert await ids(store) == ["a", "b", "c"]
            await store.update(entry("c", None, bytes(350)))
            await store.add(entry("d", None, bytes(80)))
            assert await ids(store) == ["b", "c", "d"]
            await store.append("d", 0, [bytes(200)])
            await store.add(entry("e", None, bytes(400)))
            assert await ids(store) == ["c", "d", "e"][1:]

    async def test_pages(self, tmp_path: Path) -> None:
        """In the order in which entries were added, or from the newest."""
        async with self.opened(tmp_path, LIMITS, Clock()) as store:
            for name in ("c", "a", "b"):
                await store.add(entry(name))
            first = await store.page("ann", EntryQuery(kind="answer", limit=2))
            assert first is not None
            assert ([one.id for one in first.entries], first.more) == (["c", "a"], True)
            last = await store.page("ann", EntryQuery(kind="answer", limit=2, after="a"))
            assert last is not None
            assert ([one.id for one in last.entries], last.more) == (["b"], False)
            assert await ids(store, order="desc") == ["b", "a", "c"]
            assert await ids(store, order="desc", after="b", limit=1) == ["a"]
            assert await store.page("ann", EntryQuery(kind="answer", after="none")) is None
            assert await ids(store, owner="bob") == []

    async def test_lists_filter_by_kind_model_and_metadata(self, tmp_path: Path) -> None:
        """Metadata may hold any character."""
        async with self.opened(tmp_path, LIMITS, Clock()) as store:
            await store.add(entry("a", None, b"", team='"x".y', stage="1"))
            await store.add(entry("b", None, b"", team='"x".y'))
            assert await ids(store, metadata={"team": '"x".y'}) == ["a", "b"]
            assert await ids(store, metadata={"team": '"x".y', "stage": "1"}) == ["a"]
            assert await ids(store, metadata={'"team"': '"x".y'}) == []
            assert await ids(store, model="m") == ["a", "b"]
            assert await ids(store, model="other") == []
            other = await store.page("ann", EntryQuery(kind="other"))
            assert other is not None
            assert other.entries == []

    async def test_update_changes_body_and_metadata(self, tmp_path: Path) -> None:
        """Of the owner's entries only."""
        async with self.opened(tmp_path, LIMITS, Clock()) as store:
            await store.add(entry("a", None, b"", stage="1"))
            assert await store.update(entry("a", None, b"new", stage="2"))
            found = await store.get("ann", "a")
            assert found is not None
            assert (found.entry.body, found.entry.metadata) == (b"new", {"stage": "2"})
            assert await ids(store, metadata={"stage": "2"}) == ["a"]
            strange = StoredEntry(id="a", owner="bob", kind="answer", model="m", created=1, body=b"stolen")
            assert not await store.update(strange)

    async def test_only_the_first_finish_takes_effect(self, tmp_path: Path) -> None:
        """The entry is in no list before."""
        async with self.opened(tmp_path, LIMITS, Clock()) as store:
            await store.add(entry("a"), producer="one")
            found = await store.get("ann", "a")
            assert found is not None
            assert (found.pending, found.abandoned) == (True, False)
            assert await ids(store) == []
            finished = await asyncio.gather(store.finish("a", b"1"), store.finish("a", b"2"))
            assert sorted(finished) == [False, True]
            found = await store.get("ann", "a")
            assert found is not None
            assert (found.entry.body, found.pending) == (b"1" if finished[0] else b"2", False)
            assert await ids(store) == ["a"]
            assert not await store.finish("none", b"")

    async def test_an_entry_is_abandoned_when_its_lease_ends(self, tmp_path: Path) -> None:
        """Anyone may finish it then."""
        clock = Clock()
        async with self.opened(tmp_path, LIMITS, clock) as store:
            await store.add(entry("a"), producer="one")
            await store.add(entry("b"), producer="two")
            clock.now += 20
            assert await store.renew("one") == {"a"}
            clock.now += 20
            for id_, abandoned in (("a", False), ("b", True)):
                found = await store.get("ann", id_)
                assert found is not None
                assert (found.pending, found.abandoned) == (not abandoned, abandoned)
            assert await store.finish("b", b"failed")
            assert await store.renew("two") == frozenset()

    async def test_a_queued_entry_is_taken_over_when_its_lease_ends(self, tmp_path: Path) -> None:
        """Or when it is handed over; by one producer, with its request. It is never abandoned."""
        clock = Clock()
        async with self.opened(tmp_path, LIMITS, clock) as store:
            await store.add(entry("a"), producer="one", request=b"do a")
            await store.add(entry("b"), producer="one", request=b"do b")
            assert await store.take_over("two", 9) == []
            assert await store.hand_over("one", ["b", "none"]) == {"b"}
            assert not await store.begin("b", "one")
            assert await store.take_over("two", 9) == [QueuedEntry(entry("b"), b"do b")]
            clock.now += 20
            await store.renew("two")
            clock.now += 20
            found = await store.get("ann", "a")
            assert found is not None
            assert (found.pending, found.abandoned) == (True, False)
            taken = await asyncio.gather(store.take_over("two", 1), store.take_over("three", 1))
            assert sorted(map(len, taken)) == [0, 1]

    async def test_an_entry_that_was_begun_is_not_taken_over(self, tmp_path: Path) -> None:
        """Only its producer begins it, once. When that one is gone, the entry is abandoned."""
        clock = Clock()
        async with self.opened(tmp_path, LIMITS, clock) as store:
            for name in ("a", "b", "c"):
                await store.add(entry(name), producer="one", request=b"do it")
            assert not await store.begin("a", "two")
            assert await store.begin("a", "one")
            assert not await store.begin("a", "one")
            await store.finish("b", b"cancelled")
            await store.delete("ann", "c")
            assert await store.hand_over("one", ["a", "b", "c"]) == frozenset()
            clock.now += 40
            assert await store.take_over("two", 9) == []
            found = await store.get("ann", "a")
            assert found is not None
            assert found.abandoned

    async def test_renew_returns_only_entries_that_are_still_held(self, tmp_path: Path) -> None:
        """Not those that were deleted or finished by someone else."""
        async with self.opened(tmp_path, LIMITS, Clock()) as store:
            for name in ("a", "b", "c"):
                await store.add(entry(name), producer="one")
            await store.delete("ann", "a")
            await store.finish("b", b"")
            assert await store.renew("one") == {"c"}
            assert not await store.finish("a", b"late")
            assert await store.get("ann", "a") is None

    async def test_entries_with_a_lease_are_not_deleted(self, tmp_path: Path) -> None:
        """However full the store is."""
        async with self.opened(tmp_path, ResponseStoreLimits(entries=1), Clock()) as store:
            await store.add(entry("a"), producer="one")
            await store.add(entry("b"))
            assert await store.finish("a", b"")
            assert await ids(store) == ["a", "b"]
            await store.add(entry("c"))
            assert await ids(store) == ["c"]

    async def test_events_are_stored_in_order(self, tmp_path: Path) -> None:
        """Each once. They are deleted with their entry, and a missing entry has none."""
        async with self.opened(tmp_path, LIMITS, Clock()) as store:
            await store.add(entry("a"), producer="one")
            await store.append("a", 0, [b"0", b"1"])
            await store.append("a", 1, [b"again", b"2"])
            assert await store.events("a", 0) == [b"0", b"1", b"2"]
            assert await store.events("a", 2) == [b"2"]
            assert await store.events("a", 3) == []
            await store.append("none", 0, [b"0"])
            assert await store.events("none", 0) == []
            await store.delete("ann", "a")
            assert await store.events("a", 0) == []

    async def test_everything_survives_a_restart(self, tmp_path: Path) -> None:
        """Entries, events and leases. Closing is idempotent."""
        async with self.opened(tmp_path, LIMITS, Clock()) as store:
            await store.add(entry("a"))
            await store.add(entry("b", "a"), producer="one")
            await store.append("b", 0, [b"0"])
            await store.aclose()
        async with self.opened(tmp_path, LIMITS, Clock()) as store:
            assert [one.id for one in await store.chain("ann", "b")] == ["a", "b"]
            assert await store.events("b", 0) == [b"0"]
            assert await store.renew("one") == {"b"}

    async def test_concurrent_calls_lose_nothing(self, tmp_path: Path) -> None:
        """From two stores of the same directory."""
        async with self.opened(tmp_path, LIMITS, Clock()) as one, self.opened(tmp_path, LIMITS, Clock()) as other:
            both = [one, other]
            await asyncio.gather(*(both[number % 2].add(entry(f"e{number}")) for number in range(20)))
            assert len(await ids(one, limit=50)) == 20
