"""What is kept of an answer whose making is cut off within a write: nothing is lost, and nothing stays open."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from chat_support import IDENTITY
from responses_support import dialect, raw
from scripted import ScriptedBackend, replies

from dragoman.dialects.responses.request import ResponsesRequest
from dragoman.runs.engine import Engine, Limits
from dragoman.server.collect import RunGroup
from dragoman.server.responses.job import Job, JobSpec
from dragoman.server.responses.writer import Lease, ResponseWriter
from dragoman.stores.base import StoredEntry
from dragoman.stores.sqlite.responses import SQLiteResponseStore

HANDS = Lease("ann", "holder")


class Stuck(SQLiteResponseStore):
    """An archive whose first write never comes back: what is appended was not done then, what is added was."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.stuck = asyncio.Event()

    async def add(self, entry: StoredEntry, holder: str | None = None) -> None:
        """Done, but nobody is told."""
        await super().add(entry, holder)
        await self._never()

    async def append(self, id_: str, first: int, events: Sequence[bytes]) -> None:
        """Waits for its turn."""
        await self._never()
        await super().append(id_, first, events)

    async def _never(self) -> None:
        if not self.stuck.is_set():
            self.stuck.set()
            await asyncio.Event().wait()


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Stuck]:
    """A file."""
    made = Stuck(tmp_path / "answers.db")
    yield made
    await made.aclose()


def keeper(archive: Stuck) -> ResponseWriter[ResponsesRequest]:
    """Keeps a response in the background."""
    responses = dialect(stores_responses=True)
    return ResponseWriter(archive, responses.stored_format, responses.decode(raw(background=True)), IDENTITY, HANDS)


async def cut(archive: Stuck, task: "asyncio.Task[None]") -> None:
    """Cancel a task in the middle of its write."""
    await archive.stuck.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_was_begun_for_nobody_does_not_stay_open(archive: Stuck) -> None:
    """Its holder is at work on others, and would renew it for ever."""
    made = keeper(archive)
    await cut(archive, asyncio.create_task(made.begin()))
    assert await archive.renew(HANDS.holder) == frozenset()
    found = await archive.get(HANDS.owner, made.id)
    assert found is not None
    assert not found.pending
    assert b'"status":"cancelled"' in found.entry.body


async def test_a_cancelled_answers_events_have_no_gap(archive: Stuck) -> None:
    """What was told before it was cancelled is kept, and then its end."""
    made = keeper(archive)
    archive.stuck.set()
    await made.begin()
    archive.stuck.clear()
    await cut(archive, asyncio.create_task(made.append([b"one", b"two"])))
    await made.append([b"three"])
    assert await archive.events(made.id, 0) == [b"one", b"two", b"three"]


class Slow(SQLiteResponseStore):
    """An archive that takes the end of an answer only when it is told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    async def finish(self, id_: str, body: bytes) -> bool:
        """In its own time."""
        self.asked.set()
        await self.go_on.wait()
        return await super().finish(id_, body)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_cancel_that_comes_when_all_is_made_comes_too_late(tmp_path: Path, *, stream: bool) -> None:
    """The response is completed, as its stream says already."""
    archive, responses = Slow(tmp_path / "answers.db"), dialect(stores_responses=True)
    decoded = responses.decode(raw(background=True, stream=stream))
    engine = Engine(ScriptedBackend(replies("Hello")), Limits())
    group = RunGroup(lambda _: engine.submit_all([decoded.body], decoded.resolved.model, client="ann"))
    group.start(1)
    writer = ResponseWriter(archive, responses.stored_format, decoded, group.identity, HANDS)
    await writer.begin()
    job = Job(JobSpec(responses, decoded, group, writer), detached=True)
    job.attach_task(asyncio.create_task(job.run()))
    await archive.asked.wait()
    cancelling = asyncio.create_task(job.cancel())
    await asyncio.sleep(0)  # it has cancelled now whatever it cancels
    archive.go_on.set()
    await cancelling
    found, events = await archive.get(HANDS.owner, job.id), await archive.events(job.id, 0)
    await archive.aclose()
    assert found is not None
    assert json.loads(responses.stored_format.view(found.entry.body))["status"] == "completed"
    assert not stream or b"event: response.completed" in events[-1]
