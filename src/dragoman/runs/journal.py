"""The record of all runs: those that go on, in memory, and all in a store, written behind their backs.

A run costs the event loop the making of a small record; encoding and writing are the store's thread's. What happens
within a moment is written together, so a crash loses that moment at most.
"""

import asyncio
import time
from typing import cast

import structlog

from dragoman.errors import Conflict, GatewayError, NotFound, RunCancelled, UpstreamFailed
from dragoman.messages import JSONObject
from dragoman.runs.run import Run
from dragoman.stores.runs import RunPage, RunQuery, RunRecord, RunStore

_MOMENT = 0.25

log = structlog.get_logger("dragoman.runs")


class Journal:
    """What is known of runs.

    Args:
        store: Where records are kept; None: they are known while they go on, and not after.
        content: Whether what was asked and answered is kept with them.
    """

    def __init__(self, store: RunStore | None = None, *, content: bool = False) -> None:
        self.content = content
        self._store = store
        self._open: dict[str, Run] = {}
        self._changed: dict[str, Run | RunRecord] = {}
        self._succeeded: float | None = None
        self._failed: JSONObject | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def note(self, run: Run) -> None:
        """A run has begun, or stands differently now."""
        if run.ended:
            self._open.pop(run.id, None)
            self._learn(run)
        else:
            self._open[run.id] = run
        if self._store is None:
            return
        # An open run is looked at when it is written; of one that ended nothing but the record need stay.
        self._changed[run.id] = self._record(run) if run.ended else run
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_MOMENT, self._write)

    def last(self) -> JSONObject:
        """When a run succeeded last, and which failed last."""
        return {"succeeded": self._succeeded, "failed": self._failed}

    def live(self, id_: str) -> Run | None:
        """A run that goes on here."""
        return self._open.get(id_)

    async def get(self, id_: str) -> RunRecord:
        """A run as it stands, with what was said where that is kept.

        Raises:
            NotFound: There is no such run, or it is forgotten.
            StoreFailed: The records cannot be used.
        """
        if run := self.live(id_):
            return self._record(run)
        await self.flush()
        record = await self._store.get(id_) if self._store else None
        if record is None:
            raise NotFound(f"There is no run `{id_[:80]}`, or its record is gone. `dragoman runs` lists what there is.")
        return record

    async def page(self, query: RunQuery) -> RunPage:
        """Runs, those that go on as they stand now.

        Raises:
            NotFound: There is no run of the id `after`.
            StoreFailed: The records cannot be used.
        """
        if self._store is None:
            records = (self._record(run) for run in reversed(self._open.values()))
            return RunPage([record for record in records if query.wants(record)][: query.limit], more=False)
        await self.flush()
        page = await self._store.page(query)
        if page is None:
            raise NotFound(f"There is no run `{query.after}` to go on from.")
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
            status = (await self.get(id_)).status
            open_ = status in {"queued", "running"}
            raise Conflict(
                "Another gateway has this run: ask that one." if open_ else f"This run is over already: {status}."
            )
        await run.cancel("cancelled by the operator", RunCancelled("The operator of the gateway cancelled this run."))
        return self._record(run)

    async def flush(self) -> None:
        """Write what has changed, now."""
        if self._timer is not None:
            self._timer.cancel()
        self._write()
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def aclose(self) -> None:
        """Write what is left, and close the store. Idempotent."""
        await self.flush()
        if self._store is not None:
            await self._store.aclose()

    def _learn(self, run: Run) -> None:
        if run.status == "succeeded":
            self._succeeded = time.time()
        elif run.status == "failed" and run.error is not None:
            self._failed = {"at": time.time(), "error": run.error.code, "upstream": run.upstream, "run": run.id}

    def _write(self) -> None:
        self._timer = None
        if self._changed and self._store is not None:
            self._writing = asyncio.create_task(self._save(self._store, self._writing), name="run-records")

    async def _save(self, store: RunStore, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await asyncio.wait([before])
        changed, self._changed = self._changed, {}
        records = [self._record(one) if isinstance(one, Run) else one for one in changed.values()]
        try:
            await store.save(records)
        except GatewayError as error:
            log.warning("runs.unwritten", count=len(records), error=error.code)

    def _now(self, record: RunRecord) -> RunRecord:
        run = self.live(record.id)
        return self._record(run) if run else record

    def _record(self, run: Run) -> RunRecord:
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
            asked=cast("JSONObject | None", run.asked),
            answered=_said(run) if self.content else None,
        )


def _said(run: Run) -> JSONObject | None:
    try:
        return cast("JSONObject", run.said().message)
    except UpstreamFailed:
        return None
