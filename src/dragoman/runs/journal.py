"""What is known of all runs: of those that go on, and from a store of all."""

import time

from dragoman.errors import Conflict, NotFound, RunCancelled
from dragoman.messages import JSONObject
from dragoman.runs.recording import Recording
from dragoman.runs.records import record_of
from dragoman.runs.run import Run
from dragoman.stores.runs import OPEN, RunPage, RunQuery, RunRecord, RunStore


class Journal:
    """What is known of runs.

    Args:
        store: Where records are kept; None: they are known while they go on, and not after.
        content: Whether what was asked and answered is kept with them.
    """

    def __init__(self, store: RunStore | None = None, *, content: bool = False) -> None:
        self.content = content
        self._store = store
        self._recording = Recording(store, content=content) if store else None
        self._open: dict[str, Run] = {}
        self._succeeded: float | None = None
        self._failed: JSONObject | None = None

    def note(self, run: Run) -> None:
        """A run has begun, or stands differently now."""
        if run.ended:
            self._open.pop(run.id, None)
            self._learn(run)
        else:
            self._open[run.id] = run
        if self._recording is not None:
            self._recording.note(run)

    def last(self) -> JSONObject:
        """When a run succeeded last, and which failed last."""
        return {"succeeded": self._succeeded, "failed": self._failed}

    def live(self, id_: str) -> Run | None:
        """A run that goes on here."""
        return self._open.get(id_)

    def record(self, run: Run) -> RunRecord:
        """A run as it stands, with what was said where that is kept."""
        return record_of(run, content=self.content)

    async def get(self, id_: str) -> RunRecord:
        """A run as it stands, with what was said where that is kept.

        Raises:
            NotFound: There is no such run, or it is forgotten.
            StoreFailed: The records cannot be used.
        """
        if run := self.live(id_):
            return self.record(run)
        await self.flush()
        record = await self._store.get(id_) if self._store else None
        if record is None:
            raise NotFound(f"There is no run `{id_[:80]}`, or its record is gone. `dragoman runs` lists what there is.")
        return record

    async def over(self, id_: str) -> RunRecord:
        """A run that goes on nowhere.

        Raises:
            NotFound: There is no such run.
            Conflict: Another gateway is at it.
            StoreFailed: The records cannot be used.
        """
        record = await self.get(id_)
        if record.status in OPEN:
            raise Conflict("Another gateway has this run: ask that one. `--port` names it.")
        return record

    async def page(self, query: RunQuery) -> RunPage:
        """Runs, those that go on as they stand now.

        Raises:
            NotFound: There is no run of the id `after`.
            StoreFailed: The records cannot be used.
        """
        if self._store is None:
            return self._open_page(query)
        await self.flush()
        page = await self._store.page(query)
        if page is None:
            raise _nowhere(query)
        return RunPage([self._now(record) for record in page.runs], page.more)

    async def cancel(self, id_: str) -> RunRecord:
        """End a run; its client is told by whom.

        Raises:
            NotFound: There is no such run.
            Conflict: It has ended already, or belongs to another gateway.
            StoreFailed: The records cannot be used.
        """
        run = self.live(id_)
        if run is None:
            raise Conflict(f"This run is over already: {(await self.over(id_)).status}.")
        await run.cancel("cancelled by the operator", RunCancelled("The operator of the gateway cancelled this run."))
        return self.record(run)

    async def flush(self) -> None:
        """Write what has changed, now."""
        if self._recording is not None:
            await self._recording.flush()

    async def aclose(self) -> None:
        """Write what is left, and close the store. Idempotent."""
        if self._recording is not None:
            await self._recording.aclose()

    def _learn(self, run: Run) -> None:
        if run.status == "succeeded":
            self._succeeded = time.time()
        elif run.status == "failed" and run.error is not None:
            self._failed = {"at": time.time(), "error": run.error.code, "upstream": run.upstream, "run": run.id}

    def _open_page(self, query: RunQuery) -> RunPage:
        """Of the runs that go on here, where no others are known."""
        ids = list(reversed(self._open))
        if query.after is not None:
            if query.after not in self._open:
                raise _nowhere(query)
            ids = ids[ids.index(query.after) + 1 :]
        found = [record for record in (self.record(self._open[id_]) for id_ in ids) if query.wants(record)]
        return RunPage(found[: query.limit], len(found) > query.limit)

    def _now(self, record: RunRecord) -> RunRecord:
        run = self.live(record.id)
        return self.record(run) if run else record


def _nowhere(query: RunQuery) -> NotFound:
    return NotFound(f"There is no run `{(query.after or '')[:80]}` to go on from.")
