"""The record of a run, as it stands.

Writing the records of runs behind their backs.

A run costs the event loop the making of a small record; encoding and writing are the store's thread's. What happens
within a moment is written together, so a crash loses that moment at most. What cannot be written is tried again later,
without what was said, as long as it is not too much.

What is known of all runs: of those that go on, and from a store of all.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import structlog

from dragoman.core.errors import Conflict, GatewayError, NotFound, RunCancelled, UpstreamFailed
from dragoman.core.messages import JSONObject
from dragoman.runs.run import Run
from dragoman.stores.run_records import OPEN_STATUSES, RunPage, RunQuery, RunRecord, RunStore


def record_of(run: Run, *, content: bool) -> RunRecord:
    """The record of a run.

    Args:
        run: The run.
        content: Whether what was answered so far is to be in it.
    """
    return RunRecord(
        id=run.id,
        request=run.request,
        status=run.status,
        model=run.model,
        path=run.path,
        upstream=run.upstream,
        client=run.client,
        endpoint=run.endpoint,
        created=run.since,
        ended=run.since + run.stages["total"] if run.ended else None,
        stages=run.stages if run.ended else dict(run.stages),
        usage=cast("JSONObject | None", run.usage),
        error=run.error.code if run.error else None,
        reason=run.reason,
        prompt=cast("JSONObject | None", run.asked),
        response=_said(run) if content else None,
    )


def _said(run: Run) -> JSONObject | None:
    try:
        return cast("JSONObject", run.result().message)
    except UpstreamFailed:
        return None


_MOMENT = 0.25
_LATER = 5.0
"""Seconds until a store that failed is tried again."""
_MOST_WAITING = 1000

log = structlog.get_logger("dragoman.runs")


class RecordWriter:
    """Writes records, one batch after the other.

    Args:
        store: Where they are kept. It is closed with this.
        content: Whether what was asked and answered is kept with them.
    """

    def __init__(self, store: RunStore, *, content: bool) -> None:
        self._store = store
        self._content = content
        self._changed: dict[str, Run | RunRecord] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def note(self, run: Run) -> None:
        """A run stands differently now."""
        # An open run is looked at when it is written; of one that ended nothing but the record need stay.
        self._changed[run.id] = record_of(run, content=self._content) if run.ended else run
        self._write_in(_MOMENT)

    async def flush(self) -> None:
        """Write what has changed, now."""
        if self._writing is not None:
            await asyncio.wait([self._writing])  # it may have begun before the last change
        self._write()
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def aclose(self) -> None:
        """Write what is left, and close the store. Idempotent."""
        await self.flush()
        self._stop_timer()
        await self._store.aclose()

    def _write_in(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._write)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _write(self) -> None:
        """Begin to write, unless that is being done: at its end it is seen to what has changed meanwhile."""
        self._stop_timer()
        if self._changed and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._save(), name="run-records")

    async def _save(self) -> None:
        changed, self._changed = self._changed, {}
        records = [record_of(one, content=self._content) if isinstance(one, Run) else one for one in changed.values()]
        try:
            await self._store.save(records)
        except GatewayError as error:
            log.warning("runs.unwritten", count=len(records), error=error.code)
            self._put_back(changed)
            self._stop_timer()
            self._write_in(_LATER)
        except Exception:
            log.exception("runs.lost", count=len(records))
        if self._changed:
            self._write_in(_MOMENT)

    def _put_back(self, unwritten: Mapping[str, Run | RunRecord]) -> None:
        """Have it written later; of too many, the newest."""
        kept = {id_: one if isinstance(one, Run) else _without_content(one) for id_, one in unwritten.items()}
        kept |= self._changed
        self._changed = dict([*kept.items()][-_MOST_WAITING:])


def _without_content(record: RunRecord) -> RunRecord:
    """It may be large, and many may wait."""
    return replace(record, prompt=None, response=None)


class RunRegistry:
    """What is known of runs.

    Args:
        store: Where records are kept; None: they are known while they go on, and not after.
        content: Whether what was asked and answered is kept with them.
    """

    def __init__(self, store: RunStore | None = None, *, content: bool = False) -> None:
        self.content = content
        self._store = store
        self._recording = RecordWriter(store, content=content) if store else None
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
        if record.status in OPEN_STATUSES:
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
        found = [record for record in (self.record(self._open[id_]) for id_ in ids) if query.matches(record)]
        return RunPage(found[: query.limit], len(found) > query.limit)

    def _now(self, record: RunRecord) -> RunRecord:
        run = self.live(record.id)
        return self.record(run) if run else record


def _nowhere(query: RunQuery) -> NotFound:
    return NotFound(f"There is no run `{(query.after or '')[:80]}` to go on from.")
