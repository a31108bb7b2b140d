"""What is kept of an answer whose making is cut off within a write: nothing is lost, and nothing stays open."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from chat_support import IDENTITY
from responses_support import codec, raw

from dragoman.server.keeping.keeper import Hands, Keeper
from dragoman.stores.base import Entry
from dragoman.stores.sqlite import SQLiteArchive

HANDS = Hands("ann", "holder")


class Stuck(SQLiteArchive):
    """An archive whose first write never comes back: what is appended was not done then, what is added was."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.stuck = asyncio.Event()

    async def add(self, entry: Entry, holder: str | None = None) -> None:
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


def keeper(archive: Stuck) -> Keeper:
    """Keeps a response in the background."""
    dialect = codec(keeps=True)
    return Keeper(archive, dialect.documents, dialect.decode(raw(background=True)), IDENTITY, HANDS)


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
    await cut(archive, asyncio.create_task(made.events([b"one", b"two"])))
    await made.events([b"three"])
    assert await archive.events(made.id, 0) == [b"one", b"two", b"three"]
