"""The test suite of every `RunStore`."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from dragoman.core.value_object import replace
from dragoman.stores.run_records import RunQuery, RunRecord, RunStore
from dragoman.testing.key_values import Clock

_DAY = 86_400.0


def record(id_: str, status: str = "succeeded", **more: object) -> RunRecord:
    """Return a run of `ann` that was created at the start of the clock."""
    made = RunRecord(
        id=id_,
        request="req",
        status=status,
        model="claude-haiku-5-5",
        client="ann",
        endpoint="/v1",
        created=Clock().now,
    )
    return replace(made, **more)


async def ids(store: RunStore, **query: object) -> list[str]:
    """Return the ids on a page."""
    page = await store.page(RunQuery(**query))  # type: ignore[arg-type] # fields of the class
    assert page is not None
    return [one.id for one in page.runs]


class RunStoreSuite:
    """Tests of a `RunStore`. A subclass defines how a store is opened."""

    def opened(self, where: Path, clock: Clock, *, ttl: float, entries: int) -> AbstractAsyncContextManager[RunStore]:
        """Open a store.

        Args:
            where: An empty directory of the test. Stores opened for the same directory share their records.
            clock: Seconds since 1970.
            ttl: Seconds that a record is stored.
            entries: The maximum number of records.
        """
        raise NotImplementedError

    def roomy(self, where: Path) -> AbstractAsyncContextManager[RunStore]:
        """Open a store that deletes nothing within a test."""
        return self.opened(where, Clock(), ttl=_DAY, entries=100)

    async def test_records_are_returned_unchanged(self, tmp_path: Path) -> None:
        """Complete by their id, also by another store of the same directory; without prompt and response in a list."""
        made = record(
            "run_a",
            "failed",
            path="warm",
            upstream="first",
            ended=Clock().now + 1,
            stages={"total": 1.5},
            usage={"input_tokens": 3, "server_tool_use": None},
            calls=({"input_tokens": 1}, {"input_tokens": 2, "server_tool_use": None}),
            error="overloaded",
            reason="why",
            warnings=({"code": "ignored", "param": "seed", "detail": "Claude has no seed."},),
            cache={"reason": "message", "part": "messages[0]", "read": 0, "expected": 2048, "age": 1.5},
            prompt={"messages": ["\u00fc"]},
            response={"content": []},
        )
        async with self.roomy(tmp_path) as store, self.roomy(tmp_path) as other:
            await store.save([made])
            for one in (store, other):
                assert await one.get("run_a") == made
                page = await one.page(RunQuery())
                assert page is not None
                assert page.runs == [replace(made, prompt=None, response=None)]
            assert await store.get("run_b") is None

    async def test_a_later_record_replaces_an_earlier_one(self, tmp_path: Path) -> None:
        """It keeps the position in the list."""
        async with self.roomy(tmp_path) as store:
            await store.save([record("run_a", "running"), record("run_b", "queued")])
            await store.save([record("run_a", "cancelled")])
            assert await ids(store) == ["run_b", "run_a"]
            assert await ids(store, statuses=("cancelled",)) == ["run_a"]

    async def test_filters(self, tmp_path: Path) -> None:
        """Each alone, and all together."""
        late = Clock().now + 60
        made = [
            record("run_a", model="claude-opus-5-5"),
            record("run_b", client="bob"),
            record("run_c", "failed", created=late),
            record("run_d", "running", client="bob", created=late),
        ]
        async with self.roomy(tmp_path) as store:
            await store.save(made)
            assert await ids(store, model="opus") == ["run_a"]
            assert await ids(store, client="bob") == ["run_d", "run_b"]
            assert await ids(store, since=late) == ["run_d", "run_c"]
            assert await ids(store, statuses=("failed", "running")) == ["run_d", "run_c"]
            assert await ids(store, statuses=("running",), client="bob", since=late, model="haiku") == ["run_d"]
            assert await ids(store, client="bo%") == []

    async def test_pages(self, tmp_path: Path) -> None:
        """Together they hold all records, and the last one has no more."""
        async with self.roomy(tmp_path) as store:
            await store.save([record(f"run_{number}") for number in range(5)])
            page = await store.page(RunQuery(limit=3))
            assert page is not None
            assert ([one.id for one in page.runs], page.more) == (["run_4", "run_3", "run_2"], True)
            page = await store.page(RunQuery(limit=3, after="run_2"))
            assert page is not None
            assert ([one.id for one in page.runs], page.more) == (["run_1", "run_0"], False)
            assert await store.page(RunQuery(after="run_9")) is None

    async def test_the_oldest_records_are_deleted_when_it_is_full(self, tmp_path: Path) -> None:
        """The newest stay."""
        async with self.opened(tmp_path, Clock(), ttl=_DAY, entries=3) as store:
            for number in range(5):
                await store.save([record(f"run_{number}")])
            assert await ids(store) == ["run_4", "run_3", "run_2"]

    async def test_old_records_are_deleted(self, tmp_path: Path) -> None:
        """With the next save."""
        clock = Clock()
        async with self.opened(tmp_path, clock, ttl=_DAY, entries=100) as store:
            await store.save([record("run_old")])
            clock.now += _DAY + 1
            await store.save([record("run_new", created=clock.now)])
            assert await ids(store) == ["run_new"]

    async def test_many_in_one_call(self, tmp_path: Path) -> None:
        """All are stored in order. Records that were stored before are replaced."""
        async with self.opened(tmp_path, Clock(), ttl=_DAY, entries=1000) as store:
            many = [record(f"run_{number}") for number in range(250)]
            await store.save([record("run_249", status="running"), *many[:249]])
            await store.save(many)
            page = await store.page(RunQuery(limit=1000))
            assert page is not None
            assert {one.status for one in page.runs} == {many[0].status}
            assert [one.id for one in page.runs] == [*(f"run_{number}" for number in range(248, -1, -1)), "run_249"]

    async def test_many_at_once(self, tmp_path: Path) -> None:
        """Two stores of the same directory lose nothing."""
        async with self.roomy(tmp_path) as store, self.roomy(tmp_path) as other:
            both = [(store, "a"), (other, "b")]
            await asyncio.gather(
                *(one.save([record(f"run_{name}{number}")]) for number in range(20) for one, name in both)
            )
            assert len(await ids(store)) == 40
