"""What every store of runs has to do."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

from dragoman.stores.run_records import RunQuery, RunRecord, RunStore
from dragoman.testing.key_values import Clock

_DAY = 86_400.0


def record(id_: str, status: str = "succeeded", **more: object) -> RunRecord:
    """A run of `ann`, that began when the clock did."""
    made = RunRecord(
        id=id_,
        request="req",
        status=status,
        model="claude-haiku-5-5",
        client="ann",
        endpoint="/v1",
        created=Clock().now,
    )
    return replace(made, **more)  # type: ignore[arg-type]


async def ids(store: RunStore, **query: object) -> list[str]:
    """The ids on a page."""
    page = await store.page(RunQuery(**query))  # type: ignore[arg-type]
    assert page is not None
    return [one.id for one in page.runs]


class RunStoreSuite:
    """Inherit from it, and say how a store is opened."""

    def opened(self, where: Path, clock: Clock, *, ttl: float, entries: int) -> AbstractAsyncContextManager[RunStore]:
        """Open a store.

        Args:
            where: An empty folder of the test's own. What is opened for the same folder shares what is kept.
            clock: The time.
            ttl: Seconds that a record is kept.
            entries: The most records.
        """
        raise NotImplementedError

    def usual(self, where: Path) -> AbstractAsyncContextManager[RunStore]:
        """One that forgets nothing within a test."""
        return self.opened(where, Clock(), ttl=_DAY, entries=100)

    async def test_what_was_saved_is_found_as_it_was(self, tmp_path: Path) -> None:
        """Whole by its id, also by another who opens the same store; without what was said in a list."""
        made = record(
            "run_a",
            "failed",
            path="warm",
            upstream="first",
            ended=Clock().now + 1,
            stages={"total": 1.5},
            usage={"input_tokens": 3, "server_tool_use": None},
            error="overloaded",
            reason="why",
            prompt={"messages": ["\u00fc"]},
            response={"content": []},
        )
        async with self.usual(tmp_path) as store, self.usual(tmp_path) as other:
            await store.save([made])
            for one in (store, other):
                assert await one.get("run_a") == made
                page = await one.page(RunQuery())
                assert page is not None
                assert page.runs == [replace(made, prompt=None, response=None)]
            assert await store.get("run_b") is None

    async def test_a_later_record_takes_the_place_of_an_earlier_one(self, tmp_path: Path) -> None:
        """And keeps its place in the list."""
        async with self.usual(tmp_path) as store:
            await store.save([record("run_a", "running"), record("run_b", "queued")])
            await store.save([record("run_a", "cancelled")])
            assert await ids(store) == ["run_b", "run_a"]
            assert await ids(store, statuses=("cancelled",)) == ["run_a"]

    async def test_filters(self, tmp_path: Path) -> None:
        """Each by itself, and together."""
        late = Clock().now + 60
        made = [
            record("run_a", model="claude-opus-5-5"),
            record("run_b", client="bob"),
            record("run_c", "failed", created=late),
            record("run_d", "running", client="bob", created=late),
        ]
        async with self.usual(tmp_path) as store:
            await store.save(made)
            assert await ids(store, model="opus") == ["run_a"]
            assert await ids(store, client="bob") == ["run_d", "run_b"]
            assert await ids(store, since=late) == ["run_d", "run_c"]
            assert await ids(store, statuses=("failed", "running")) == ["run_d", "run_c"]
            assert await ids(store, statuses=("running",), client="bob", since=late, model="haiku") == ["run_d"]
            assert await ids(store, client="bo%") == []

    async def test_pages(self, tmp_path: Path) -> None:
        """One after the other they are all there is, and the last one says so."""
        async with self.usual(tmp_path) as store:
            await store.save([record(f"run_{number}") for number in range(5)])
            page = await store.page(RunQuery(limit=3))
            assert page is not None
            assert ([one.id for one in page.runs], page.more) == (["run_4", "run_3", "run_2"], True)
            page = await store.page(RunQuery(limit=3, after="run_2"))
            assert page is not None
            assert ([one.id for one in page.runs], page.more) == (["run_1", "run_0"], False)
            assert await store.page(RunQuery(after="run_9")) is None

    async def test_the_oldest_go_where_there_are_too_many(self, tmp_path: Path) -> None:
        """The newest stay."""
        async with self.opened(tmp_path, Clock(), ttl=_DAY, entries=3) as store:
            for number in range(5):
                await store.save([record(f"run_{number}")])
            assert await ids(store) == ["run_4", "run_3", "run_2"]

    async def test_what_is_too_old_goes(self, tmp_path: Path) -> None:
        """With the next one that is saved."""
        clock = Clock()
        async with self.opened(tmp_path, clock, ttl=_DAY, entries=100) as store:
            await store.save([record("run_old")])
            clock.now += _DAY + 1
            await store.save([record("run_new", created=clock.now)])
            assert await ids(store) == ["run_new"]

    async def test_many_in_one_call(self, tmp_path: Path) -> None:
        """However many there are, in the order in which they came; those that were there before, in their new form."""
        async with self.opened(tmp_path, Clock(), ttl=_DAY, entries=1000) as store:
            many = [record(f"run_{number}") for number in range(250)]
            await store.save([record("run_249", status="running"), *many[:249]])
            await store.save(many)
            page = await store.page(RunQuery(limit=1000))
            assert page is not None
            assert {one.status for one in page.runs} == {many[0].status}
            assert [one.id for one in page.runs] == [*(f"run_{number}" for number in range(248, -1, -1)), "run_249"]

    async def test_many_at_once(self, tmp_path: Path) -> None:
        """From two that share a store, nothing is lost."""
        async with self.usual(tmp_path) as store, self.usual(tmp_path) as other:
            both = [(store, "a"), (other, "b")]
            await asyncio.gather(
                *(one.save([record(f"run_{name}{number}")]) for number in range(20) for one, name in both)
            )
            assert len(await ids(store)) == 40
