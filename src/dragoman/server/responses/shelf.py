"""What the endpoints of kept answers work with."""

from dataclasses import dataclass, replace
from typing import Any

from dragoman.core.errors import UnsupportedFeature, UpstreamFailed
from dragoman.dialects.base import BackgroundFormat
from dragoman.server.responses.job import Jobs
from dragoman.stores.base import ResponseStore, StoredEntry

ABANDONED = "The gateway stopped before this answer was whole. Ask again."


@dataclass(frozen=True, slots=True)
class StoredResponseService:
    """Where answers are kept, and who makes them.

    Attributes:
        archive: Where they are kept.
        jobs: Who makes them.
    """

    archive: ResponseStore
    jobs: Jobs

    async def entry(self, owner: str, id_: str, documents: BackgroundFormat[Any]) -> StoredEntry | None:
        """An answer as it stands now. One that nobody is at work on any more is found to have failed.

        What is made here is at work whatever the clock says: it may have been set, or the machine may have slept.

        Args:
            owner: Whose it is.
            id_: Its id.
            documents: The form of its dialect.

        Raises:
            StoreFailed: It cannot be read.
        """
        found = await self.archive.get(owner, id_)
        if found is None or found.entry.kind != documents.kind:
            return None
        entry, job = found.entry, self.jobs.get(id_)
        if found.abandoned and job is None:
            return await self._bury(entry, documents)
        if (found.pending or found.abandoned) and job and not job.queued:
            return replace(entry, body=documents.in_progress(entry.body))
        return entry

    async def _bury(self, entry: StoredEntry, documents: BackgroundFormat[Any]) -> StoredEntry:
        failed = documents.failed(entry.body, UpstreamFailed(ABANDONED))
        if told := len(await self.archive.events(entry.id, 0)):
            await self.archive.append(entry.id, told, [documents.final_event(failed, told)])
        if await self.archive.finish(entry.id, failed):
            return replace(entry, body=failed)
        found = await self.archive.get(entry.owner, entry.id)
        return found.entry if found else entry


def require_store(shelf: StoredResponseService | None) -> StoredResponseService:
    """The shelf, if there is one.

    Raises:
        UnsupportedFeature: Nothing is kept here.
    """
    if shelf is None:
        raise UnsupportedFeature(
            "This gateway keeps nothing. Start it without `--no-store` (or `DRAGOMAN_STORE=false`) to keep answers.",
            code="nothing_kept",
        )
    return shelf
