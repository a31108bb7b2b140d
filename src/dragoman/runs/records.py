"""The registry of runs: current runs in memory, and records of all runs in a store.

Records are written in the background. A run costs the event loop a small record; encoding and writing are done by the
store's thread. Changes of a quarter of a second are written together, so a crash loses a quarter of a second at most.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

from dragoman.core import log
from dragoman.core.errors import Conflict, GatewayError, NotFound, RunCancelled, UpstreamFailed
from dragoman.core.messages import JSONObject
from dragoman.core.redaction import Redactor
from dragoman.core.supervise import failures_of
from dragoman.core.value_object import replace
from dragoman.runs.feed import RunFeed
from dragoman.runs.run import Run
from dragoman.stores.run_records import OPEN_STATUSES, RunPage, RunQuery, RunRecord, RunStore

_WRITE_DELAY = 0.25
"""Seconds for which changes are collected before they are written."""
_RETRY_DELAY = 5.0
"""Seconds until a store that failed is tried again."""
_MAX_WARNINGS = 20
_MAX_WARNING_LENGTH = 300
_MAX_UNWRITTEN = 1000
"""Records that are kept for a store that fails."""


class RunRegistry:
    """All runs that are known.

    Args:
        store: Stores records; it is closed with the registry. None: a run is known until it ends.
        content: Whether prompts and responses are stored with the records.
        redactor: Removes secrets from warnings, which quote what a client sent, and from the errors of runs.
    """

    def __init__(
        self, store: RunStore | None = None, *, content: bool = False, redactor: Redactor | None = None
    ) -> None:
        self.content = content
        self.redactor = redactor or Redactor()
        self._store = store
        self._writer = RecordWriter(store, content=content, redactor=self.redactor) if store else None
        self._open: dict[str, Run] = {}
        self._feeds: list[RunFeed] = []
        self._feeds_ended = False
        self._succeeded_at: float | None = None
        self._last_failure: JSONObject | None = None

    def note(self, run: Run) -> None:
        """Record that a run was created, or that its status has changed."""
        if run.ended:
            self._open.pop(run.id, None)
            self._note_outcome(run)
        else:
            self._open[run.id] = run
        if self._writer is not None:
            self._writer.note(run)
        for feed in self._feeds:
            feed.add(run)

    @contextmanager
    def feed(self) -> Iterator[RunFeed]:
        """Collect the runs that change, until the context ends."""
        feed = RunFeed()
        if self._feeds_ended:
            feed.end()
        self._feeds.append(feed)
        try:
            yield feed
        finally:
            self._feeds.remove(feed)

    def end_feeds(self) -> None:
        """End what watches the runs, also later: it would keep its connection open while the gateway stops."""
        self._feeds_ended = True
        for feed in self._feeds:
            feed.end()

    def last(self) -> JSONObject:
        """Return when a run last succeeded, and the last failure."""
        return {"succeeded": self._succeeded_at, "failed": self._last_failure}

    def failures(self) -> Mapping[str, str]:
        """Return why its store failed; see `dragoman.core.supervise.ReportsFailures`."""
        return failures_of(self._store)

    def live(self, id_: str) -> Run | None:
        """Return a run that has not ended and belongs to this process."""
        return self._open.get(id_)

    def record(self, run: Run) -> RunRecord:
        """Return the record of a run as it is now, with its prompt and response if those are stored."""
        return record_of(run, self.redactor, content=self.content)

    async def get(self, id_: str) -> RunRecord:
        """Return a run's record, with its prompt and response if those are stored.

        Raises:
            NotFound: There is no such run, or its record was deleted.
            StoreFailed: The records cannot be read.
        """
        if run := self.live(id_):
            return self.record(run)
        await self.flush()
        record = await self._store.get(id_) if self._store else None
        if record is None:
            raise NotFound(f"There is no run `{id_[:80]}`, or its record is gone. `dragoman runs` lists the runs.")
        return record

    async def get_ended(self, id_: str) -> RunRecord:
        """Return the record of a run that has ended.

        Raises:
            NotFound: There is no such run.
            Conflict: The run is open at another gateway.
            StoreFailed: The records cannot be read.
        """
        record = await self.get(id_)
        if record.status in OPEN_STATUSES:
            raise Conflict("This run belongs to another gateway. Use that one: `--port` selects it.")
        return record

    async def page(self, query: RunQuery) -> RunPage:
        """Return a page of records, the newest first.

        Raises:
            NotFound: There is no run with the id `after`.
            StoreFailed: The records cannot be read.
        """
        if self._store is None:
            return self._page_of_open(query)
        await self.flush()
        page = await self._store.page(query)
        if page is None:
            raise _unknown_position(query)
        records = [self.record(run) if (run := self.live(record.id)) else record for record in page.runs]
        return RunPage(records, page.more)

    async def cancel(self, id_: str) -> RunRecord:
        """Cancel a run for the operator. Its client gets an error that says so.

        Raises:
            NotFound: There is no such run.
            Conflict: The run has ended, or belongs to another gateway.
            StoreFailed: The records cannot be read.
        """
        run = self.live(id_)
        if run is None:
            raise Conflict(f"This run has already ended: {(await self.get_ended(id_)).status}.")
        await run.cancel("cancelled by the operator", RunCancelled("The operator of the gateway cancelled this run."))
        return self.record(run)

    async def flush(self) -> None:
        """Write all changes now."""
        if self._writer is not None:
            await self._writer.flush()

    async def aclose(self) -> None:
        """Write all changes, and close the store. Idempotent."""
        if self._writer is not None:
            await self._writer.aclose()

    def _note_outcome(self, run: Run) -> None:
        if run.status == "succeeded":
            self._succeeded_at = time.time()
        elif run.status == "failed" and run.error is not None:
            self._last_failure = {"at": time.time(), "error": run.error.code, "upstream": run.upstream, "run": run.id}

    def _page_of_open(self, query: RunQuery) -> RunPage:
        ids = list(reversed(self._open))
        if query.after is not None:
            if query.after not in self._open:
                raise _unknown_position(query)
            ids = ids[ids.index(query.after) + 1 :]
        found = [record for record in (self.record(self._open[id_]) for id_ in ids) if query.matches(record)]
        return RunPage(found[: query.limit], len(found) > query.limit)


class RecordWriter:
    """Writes records, one batch after the other.

    If the store fails, the records are kept and written later, without prompts and responses.

    Args:
        store: Stores the records. It is closed with the writer.
        content: Whether prompts and responses are stored.
        redactor: See `RunRegistry`.
    """

    def __init__(self, store: RunStore, *, content: bool, redactor: Redactor) -> None:
        self._store = store
        self._content = content
        self._redactor = redactor
        self._changed: dict[str, Run | RunRecord] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def note(self, run: Run) -> None:
        """Have a run's record written."""
        # The record of an open run is made when it is written; an ended run need not stay in memory.
        self._changed[run.id] = self._record_of(run) if run.ended else run
        self._write_in(_WRITE_DELAY)

    async def flush(self) -> None:
        """Write all changes now."""
        if self._writing is not None:
            await asyncio.wait([self._writing])  # it may have begun before the last change
        self._write()
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def aclose(self) -> None:
        """Write all changes, and close the store. Idempotent."""
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
        """Start to write, unless a write is under way: at its end it looks for new changes."""
        self._stop_timer()
        if self._changed and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._save(), name="run-records")

    async def _save(self) -> None:
        """Write one batch. Whatever fails, later changes are written."""
        changed, self._changed = self._changed, {}
        try:
            await self._store.save([self._record_of(one) if isinstance(one, Run) else one for one in changed.values()])
        except GatewayError as error:
            self._put_back(changed)
            log.warning("runs.unwritten", count=len(changed), error=error.code)
            self._stop_timer()
            self._write_in(_RETRY_DELAY)
        except Exception:
            log.exception("runs.lost", count=len(changed))
        finally:
            if self._changed:
                self._write_in(_WRITE_DELAY)

    def _record_of(self, run: Run) -> RunRecord:
        return record_of(run, self._redactor, content=self._content)

    def _put_back(self, unwritten: Mapping[str, Run | RunRecord]) -> None:
        """Keep records for a later attempt: the newest, if there are too many."""
        kept = {id_: one if isinstance(one, Run) else _without_content(one) for id_, one in unwritten.items()}
        kept |= self._changed
        self._changed = dict([*kept.items()][-_MAX_UNWRITTEN:])


def record_of(run: Run, redactor: Redactor, *, content: bool) -> RunRecord:
    """Return the record of a run.

    Args:
        run: The run.
        redactor: Removes secrets from the warnings.
        content: Whether the record contains the response up to now.
    """
    return RunRecord(
        id=run.id,
        request=run.request_id,
        status=run.status,
        model=run.model,
        path=run.path,
        upstream=run.upstream,
        client=run.client,
        endpoint=run.endpoint,
        created=run.created_at,
        ended=run.created_at + run.stages["total"] if run.ended else None,
        stages=run.stages if run.ended else dict(run.stages),
        usage=cast("JSONObject | None", run.usage),
        calls=cast("tuple[JSONObject, ...]", tuple(run.calls.usages)) if len(run.calls.usages) > 1 else (),
        error=run.error.code if run.error else None,
        reason=run.reason,
        warnings=_warnings_of(run, redactor),
        cache=run.cache_use.as_json() if run.cache_use else None,
        prompt=cast("JSONObject | None", run.request_body),
        response=_response_of(run) if content else None,
    )


def _warnings_of(run: Run, redactor: Redactor) -> tuple[Mapping[str, str], ...]:
    """Return the warnings of a run as JSON, without secrets: as many and as long as a record needs."""
    warnings = list(dict.fromkeys([*run.request_warnings, *run.warnings]))[:_MAX_WARNINGS]

    def shown(text: str) -> str:
        return redactor.text(text)[:_MAX_WARNING_LENGTH]

    return tuple({"code": one.code, "param": shown(one.param), "detail": shown(one.detail)} for one in warnings)


def _response_of(run: Run) -> JSONObject | None:
    try:
        return cast("JSONObject", run.result().message)
    except UpstreamFailed:
        return None


def _without_content(record: RunRecord) -> RunRecord:
    """Return the record without prompt and response: they may be large, and many records may be kept."""
    return replace(record, prompt=None, response=None)


def _unknown_position(query: RunQuery) -> NotFound:
    return NotFound(f"There is no run `{(query.after or '')[:80]}` after which the list could continue.")
