"""Writing a stored response when the write is cancelled: nothing is lost, and no response stays open."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import pytest
from chat_support import IDENTITY
from responses_support import dialect, raw
from scripted import ScriptedBackend, replies

from dragoman.dialects.responses.request import ResponsesRequest
from dragoman.runs.engine import Engine, Limits
from dragoman.runs.run import Run
from dragoman.server.collect import RunGroup
from dragoman.server.stored.job import Job, JobSpec
from dragoman.server.stored.writer import Lease, ResponseWriter
from dragoman.stores.base import StoredEntry
from dragoman.stores.sqlite.responses import SQLiteResponseStore

LEASE = Lease("ann", "producer")


class FirstWriteHangs(SQLiteResponseStore):
    """A store whose first write hangs: an append before it is done, an add after it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.hanging = asyncio.Event()

    async def add(self, entry: StoredEntry, producer: str | None = None, request: bytes | None = None) -> None:
        """Add the entry, but do not return the first time."""
        await super().add(entry, producer, request)
        await self._hang_once()

    async def append(self, id_: str, first: int, events: Sequence[bytes]) -> None:
        """Hang before the first append."""
        await self._hang_once()
        await super().append(id_, first, events)

    async def _hang_once(self) -> None:
        if not self.hanging.is_set():
            self.hanging.set()
            await asyncio.Event().wait()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FirstWriteHangs]:
    """Return a store with a file."""
    writer = FirstWriteHangs(tmp_path / "answers.db")
    yield writer
    await writer.aclose()


def response_writer(store: FirstWriteHangs) -> ResponseWriter[ResponsesRequest]:
    """Return the writer of a background response."""
    responses = dialect(stores_responses=True)
    return ResponseWriter(store, responses.stored_format, responses.decode(raw(background=True)), IDENTITY, LEASE)


async def cancel_during_write(store: FirstWriteHangs, task: "asyncio.Task[None]") -> None:
    """Cancel a task in the middle of its write."""
    await store.hanging.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_begin_leaves_no_open_entry(store: FirstWriteHangs) -> None:
    """The process renews its leases for other jobs, so this entry would stay open without end."""
    writer = response_writer(store)
    await cancel_during_write(store, asyncio.create_task(writer.begin()))
    assert await store.renew(LEASE.producer) == frozenset()
    stored = await store.get(LEASE.owner, writer.id)
    assert stored is not None
    assert not stored.pending
    assert b'"status":"cancelled"' in stored.entry.body


async def test_events_of_a_cancelled_response_have_no_gap(store: FirstWriteHangs) -> None:
    """Events sent before the cancel are stored, and then the final ones."""
    writer = response_writer(store)
    store.hanging.set()
    await writer.begin()
    store.hanging.clear()
    await cancel_during_write(store, asyncio.create_task(writer.append([b"one", b"two"])))
    await writer.append([b"three"])
    assert await store.events(writer.id, 0) == [b"one", b"two", b"three"]


class SlowFinish(SQLiteResponseStore):
    """A store that finishes an entry only when the test allows it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.finishing, self.proceed = asyncio.Event(), asyncio.Event()

    async def finish(self, id_: str, body: bytes) -> bool:
        """Wait for the test, then finish."""
        self.finishing.set()
        await self.proceed.wait()
        return await super().finish(id_, body)


@pytest.mark.parametrize("stream", [True, False])
async def test_cancel_after_generation_is_too_late(tmp_path: Path, *, stream: bool) -> None:
    """The response is completed, as its stream has already reported."""
    store, responses = SlowFinish(tmp_path / "answers.db"), dialect(stores_responses=True)
    decoded = responses.decode(raw(background=True, stream=stream))
    engine = Engine(ScriptedBackend(replies("Hello")), Limits())

    async def start(_: Iterable[int]) -> list[Run]:
        return engine.submit_all([decoded.body], decoded.resolved.model, client="ann")

    group = RunGroup(start)
    await group.start(1)
    writer = ResponseWriter(store, responses.stored_format, decoded, group.identity, LEASE)
    await writer.begin()
    job = Job(JobSpec(responses, decoded, group, writer), detached=True)
    job.attach_task(asyncio.create_task(job.run()))
    await store.finishing.wait()
    cancelling = asyncio.create_task(job.cancel())
    await asyncio.sleep(0)  # let it cancel whatever it can cancel
    store.proceed.set()
    await cancelling
    stored, events = await store.get(LEASE.owner, job.id), await store.events(job.id, 0)
    await store.aclose()
    assert stored is not None
    assert json.loads(responses.stored_format.view(stored.entry.body))["status"] == "completed"
    assert not stream or b"event: response.completed" in events[-1]
