"""What every archive has to do."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from dragoman.stores.base import EntryQuery, ResponseStore, ResponseStoreLimits, StoredEntry
from dragoman.testing.key_values import Clock

_HOUR = 3600.0
LIMITS = ResponseStoreLimits(ttl=24 * _HOUR, entries=100, size=10_000, lease=30)


def entry(id_: str, parent: str | None = None, body: bytes = b"{}", **metadata: str) -> StoredEntry:
    """An entry of `ann`."""
    return StoredEntry(
        id=id_, owner="ann", kind="answer", model="m", created=1, parent=parent, metadata=metadata, body=body
    )


async def ids(archive: ResponseStore, owner: str = "ann", **query: object) -> list[str]:
    """The ids on a page."""
    page = await archive.page(owner, EntryQuery(kind="answer", **query))  # type: ignore[arg-type]
    assert page is not None
    return [one.id for one in page.entries]


class ResponseStoreSuite:
    """Inherit from it, and say how an archive is opened."""

    def opened(
        self, where: Path, limits: ResponseStoreLimits, clock: Clock
    ) -> AbstractAsyncContextManager[ResponseStore]:
        """Open an archive.

        Args:
            where: An empty folder of the test's own. What is opened for the same folder shares what is kept.
            limits: How much is kept.
            clock: The time.
        """
        raise NotImplementedError

    async def test_what_was_added_is_found_as_it_was(self, tmp_path: Path) -> None:
        """By its owner alone, also by another who opens the same archive."""
        made = entry("a", None, b'{"bytes": "\xc3\xbc"}', topic='it\'s "quoted"')
        async with self.opened(tmp_path, LIMITS, Clock()) as archive, self.opened(tmp_path, LIMITS, Clock()) as other:
            await archive.add(made)
            for one in (archive, other):
                found = await one.get("ann", "a")
                assert found is not None
                assert (found.entry, found.pending, found.abandoned) == (made, False, False)
            assert await archive.get("bob", "a") is None
            assert await archive.get("ann", "b") is None

    async def test_adding_twice_is_adding_once(self, tmp_path: Path) -> None:
        """What is there stays as it is."""
        async with self.opened(tmp_path, LIMITS, Clock()) as archive:
            await archive.add(entry("a", None, b"first"))
            await archive.add(entry("a", None, b"second"))
            found = await archive.get("ann", "a")
            assert found is not None
            assert found.entry.body == b"first"
            assert await ids(archive) == ["a"]

    async def test_a_chain_leads_back_to_its_beginning(self, tmp_path: Path) -> None:
        """The oldest first; branches do not know each other."""
        async with self.opened(tmp_path, LIMITS, Clock()) as archive:
            for one in (entry("a"), entry("b", "a"), entry("c", "b"), entry("x", "a")):
                await archive.add(one)
            assert [one.id for one in await archive.chain("ann", "c")] == ["a", "b", "c"]
            assert [one.id for one in await archive.chain("ann", "x")] == ["a", "x"]
            assert await archive.chain("bob", "c") == []
            assert await archive.chain("ann", "none") == []

    async def test_what_is_deleted_is_seen_no_more(self, tmp_path: Path) -> None:
        """But what goes on from it still holds it; deleting what is not there does nothing."""
        async with self.opened(tmp_path, LIMITS, Clock()) as archive:
            await archive.add(entry("a"))
            await archive.add(entry("b", "a"))
            assert not await archive.delete("bob", "a")
            assert await archive.delete("ann", "a")
            assert not await archive.delete("ann", "a")
            assert await archive.get("ann", "a") is None
            assert await archive.chain("ann", "a") == []
            assert await ids(archive) == ["b"]
            assert not await archive.update(entry("a", None, b"changed"))
            assert [one.id for one in await archive.chain("ann", "b")] == ["a", "b"]

    async def test_an_entry_is_kept_for_its_time(self, tmp_path: Path) -> None:
        """And as a part of what goes on from it, for as long as that is kept."""
        clock = Clock()
        async with self.opened(tmp_path, LIMITS, clock) as archive:
            await archive.add(entry("a"))
            clock.now += 20 * _HOUR
            await archive.add(entry("b", "a"))
            clock.now += 4 * _HOUR
            await archive.add(entry("c"))
            assert await archive.get("ann", "a") is None
            assert [one.id for one in await archive.chain("ann", "b")] == ["a", "b"]
            clock.now += 20 * _HOUR
            assert await archive.chain("ann", "b") == []
            assert await ids(archive) == ["c"]

    async def test_the_conversation_left_alone_longest_goes_first(self, tmp_path: Path) -> None:
        """From its end, so that none is ever without its beginning."""
        limits = ResponseStoreLimits(entries=4, size=10_000)
        async with self.opened(tmp_path, limits, Clock()) as archive:
            for one in (entry("a"), entry("x"), entry("b", "a"), entry("y", "x"), entry("c", "b")):
                await archive.add(one)
            assert await ids(archive) == ["a", "x", "b", "c"]
            await archive.add(entry("d", "c"))
            assert await ids(archive) == ["a", "b", "c", "d"]
            await archive.add(entry("e", "d"))
            assert [one.id for one in await archive.chain("ann", "e")] == ["a", "b", "c", "d", "e"]

    async def test_bytes_are_limited_too(self, tmp_path: Path) -> None:
        """Those of bodies that were changed, and of events, as well."""
        async with self.opened(tmp_path, ResponseStoreLimits(size=1000), Clock()) as archive:
            for name in ("a", "b", "c"):
                await archive.add(entry(name, None, bytes(300)))
            assert await ids(archive) == ["a", "b", "c"]
            await archive.update(entry("c", None, bytes(350)))
            await archive.add(entry("d", None, bytes(80)))
            assert await ids(archive) == ["b", "c", "d"]
            await archive.append("d", 0, [bytes(200)])
            await archive.add(entry("e", None, bytes(400)))
            assert await ids(archive) == ["c", "d", "e"][1:]

    async def test_pages_follow_each_other(self, tmp_path: Path) -> None:
        """In the order in which entries were added, or from the newest on."""
        async with self.opened(tmp_path, LIMITS, Clock()) as archive:
            for name in ("c", "a", "b"):
                await archive.add(entry(name))
            first = await archive.page("ann", EntryQuery(kind="answer", limit=2))
            assert first is not None
            assert ([one.id for one in first.entries], first.more) == (["c", "a"], True)
            last = await archive.page("ann", EntryQuery(kind="answer", limit=2, after="a"))
            assert last is not None
            assert ([one.id for one in last.entries], last.more) == (["b"], False)
            assert await ids(archive, order="desc") == ["b", "a", "c"]
            assert await ids(archive, order="desc", after="b", limit=1) == ["a"]
            assert await archive.page("ann", EntryQuery(kind="answer", after="none")) is None
            assert await ids(archive, owner="bob") == []

    async def test_lists_are_of_one_kind_one_model_and_all_labels(self, tmp_path: Path) -> None:
        """Whatever characters a label is made of."""
        async with self.opened(tmp_path, LIMITS, Clock()) as archive:
            await archive.add(entry("a", None, b"", team='"x".y', stage="1"))
            await archive.add(entry("b", None, b"", team='"x".y'))
            assert await ids(archive, metadata={"team": '"x".y'}) == ["a", "b"]
            assert await ids(archive, metadata={"team": '"x".y', "stage": "1"}) == ["a"]
            assert await ids(archive, metadata={'"team"': '"x".y'}) == []
            assert await ids(archive, model="m") == ["a", "b"]
            assert await ids(archive, model="other") == []
            other = await archive.page("ann", EntryQuery(kind="other"))
            assert other is not None
            assert other.entries == []

    async def test_body_and_labels_may_change(self, tmp_path: Path) -> None:
        """Those of the owner's own entries alone."""
        async with self.opened(tmp_path, LIMITS, Clock()) as archive:
            await archive.add(entry("a", None, b"", stage="1"))
            assert await archive.update(entry("a", None, b"new", stage="2"))
            found = await archive.get("ann", "a")
            assert found is not None
            assert (found.entry.body, found.entry.metadata) == (b"new", {"stage": "2"})
            assert await ids(archive, metadata={"stage": "2"}) == ["a"]
            strange = StoredEntry(id="a", owner="bob", kind="answer", model="m", created=1, body=b"stolen")
            assert not await archive.update(strange)

    async def test_the_first_to_settle_an_entry_wins(self, tmp_path: Path) -> None:
        """It is in no list before."""
        async with self.opened(tmp_path, LIMITS, Clock()) as archive:
            await archive.add(entry("a"), holder="one")
            found = await archive.get("ann", "a")
            assert found is not None
            assert (found.pending, found.abandoned) == (True, False)
            assert await ids(archive) == []
            settled = await asyncio.gather(archive.finish("a", b"1"), archive.finish("a", b"2"))
            assert sorted(settled) == [False, True]
            found = await archive.get("ann", "a")
            assert found is not None
            assert (found.entry.body, found.pending) == (b"1" if settled[0] else b"2", False)
            assert await ids(archive) == ["a"]
            assert not await archive.finish("none", b"")

    async def test_a_holder_who_is_not_heard_of_has_abandoned_it(self, tmp_path: Path) -> None:
        """Whoever finds it so may settle it."""
        clock = Clock()
        async with self.opened(tmp_path, LIMITS, clock) as archive:
            await archive.add(entry("a"), holder="one")
            await archive.add(entry("b"), holder="two")
            clock.now += 20
            assert await archive.renew("one") == {"a"}
            clock.now += 20
            for id_, abandoned in (("a", False), ("b", True)):
                found = await archive.get("ann", id_)
                assert found is not None
                assert (found.pending, found.abandoned) == (not abandoned, abandoned)
            assert await archive.finish("b", b"failed")
            assert await archive.renew("two") == frozenset()

    async def test_a_holder_learns_that_his_entry_is_gone(self, tmp_path: Path) -> None:
        """Deleted or settled by somebody else."""
        async with self.opened(tmp_path, LIMITS, Clock()) as archive:
            for name in ("a", "b", "c"):
                await archive.add(entry(name), holder="one")
            await archive.delete("ann", "a")
            await archive.finish("b", b"")
            assert await archive.renew("one") == {"c"}
            assert not await archive.finish("a", b"late")
            assert await archive.get("ann", "a") is None

    async def test_what_somebody_is_at_work_on_stays(self, tmp_path: Path) -> None:
        """However full the archive is."""
        async with self.opened(tmp_path, ResponseStoreLimits(entries=1), Clock()) as archive:
            await archive.add(entry("a"), holder="one")
            await archive.add(entry("b"))
            assert await archive.finish("a", b"")
            assert await ids(archive) == ["a", "b"]
            await archive.add(entry("c"))
            assert await ids(archive) == ["c"]

    async def test_events_are_kept_in_their_order(self, tmp_path: Path) -> None:
        """Each once; they go with their entry, and there are none of what is no entry."""
        async with self.opened(tmp_path, LIMITS, Clock()) as archive:
            await archive.add(entry("a"), holder="one")
            await archive.append("a", 0, [b"0", b"1"])
            await archive.append("a", 1, [b"again", b"2"])
            assert await archive.events("a", 0) == [b"0", b"1", b"2"]
            assert await archive.events("a", 2) == [b"2"]
            assert await archive.events("a", 3) == []
            await archive.append("none", 0, [b"0"])
            assert await archive.events("none", 0) == []
            await archive.delete("ann", "a")
            assert await archive.events("a", 0) == []

    async def test_all_of_it_survives_a_restart(self, tmp_path: Path) -> None:
        """Closing twice is closing."""
        async with self.opened(tmp_path, LIMITS, Clock()) as archive:
            await archive.add(entry("a"))
            await archive.add(entry("b", "a"), holder="one")
            await archive.append("b", 0, [b"0"])
            await archive.aclose()
        async with self.opened(tmp_path, LIMITS, Clock()) as archive:
            assert [one.id for one in await archive.chain("ann", "b")] == ["a", "b"]
            assert await archive.events("b", 0) == [b"0"]
            assert await archive.renew("one") == {"b"}

    async def test_many_at_once_lose_nothing(self, tmp_path: Path) -> None:
        """As several gateways and many requests are."""
        async with self.opened(tmp_path, LIMITS, Clock()) as one, self.opened(tmp_path, LIMITS, Clock()) as other:
            both = [one, other]
            await asyncio.gather(*(both[number % 2].add(entry(f"e{number}")) for number in range(20)))
            assert len(await ids(one, limit=50)) == 20
