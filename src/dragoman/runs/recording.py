"""Writing the records of runs behind their backs.

A run costs the event loop the making of a small record; encoding and writing are the store's thread's. What happens
within a moment is written together, so a crash loses that moment at most. What cannot be written is tried again later,
without what was said, as long as it is not too much.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import structlog

from dragoman.errors import GatewayError
from dragoman.runs.records import record_of
from dragoman.runs.run import Run
from dragoman.stores.runs import RunRecord, RunStore

_MOMENT = 0.25
_LATER = 5.0
"""Seconds until a store that failed is tried again."""
_MOST_WAITING = 1000

log = structlog.get_logger("dragoman.runs")


class Recording:
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
    return replace(record, asked=None, answered=None)
