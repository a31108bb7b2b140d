"""The list of runs as server-sent events, for pages and terminals that show it.

First `snapshot`: `runs`, the newest of them as in `GET /admin/runs`, and `state`, the gateway's numbers. Then, as they
change, `runs` (`{"runs": [...], "missed": 0}`) and `state`. Changes of a fifth of a second come together.

No person reads hundreds of runs a second, and each costs a twentieth of a small request. A busy gateway leaves out runs
that began and ended in between, and counts them in `missed`. The end of a run that was sent as open is always sent.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import cast

from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.shared import sse
from dragoman.runs.engine import Engine
from dragoman.runs.run import Run
from dragoman.server.options import Operations
from dragoman.stores.run_records import OPEN_STATUSES, RunPage

_COLLECT_SECONDS = 0.2
"""Seconds for which changes are collected: a busy gateway sends five events a second to a page, not thousands."""
_STATE_SECONDS = 2.0
"""Seconds between two looks at the state while no run changes: processes start and end without one."""
_MAX_NEW_RUNS = 16
"""Runs that a page gets at once, apart from the ends of those that it shows as open."""
_HEARTBEAT = b": still there\n\n"


class Selection:
    """The runs that a page gets of those that have changed.

    Args:
        shown: The ids of the runs that the page shows as open.

    Attributes:
        waiting: Open runs that the page gets later.
    """

    def __init__(self, shown: Iterable[str]) -> None:
        self._shown = set(shown)
        self.waiting: dict[str, Run] = {}

    def choose(self, changed: Sequence[Run]) -> tuple[list[Run], int]:
        """Return the runs to send now, and how many of the others the page will never get.

        Args:
            changed: The runs that have changed since the last call, the oldest change first.
        """
        due = [run for run in changed if run.id in self._shown]
        new = self.waiting | {run.id: run for run in changed if run.id not in self._shown}
        ordered = [run for run in new.values() if not run.ended] + [run for run in reversed(new.values()) if run.ended]
        room = max(0, _MAX_NEW_RUNS - len(due))
        chosen, rest = due + ordered[:room], ordered[room:]
        self.waiting = {run.id: run for run in rest if not run.ended}
        self._shown.difference_update(run.id for run in chosen if run.ended)
        self._shown.update(run.id for run in chosen if not run.ended)
        return sorted(chosen, key=lambda run: run.created_at), len(rest) - len(self.waiting)


async def live_runs(engine: Engine, operations: Operations, page: RunPage, heartbeat: float) -> AsyncIterator[bytes]:
    """Return the events, until the gateway stops.

    Args:
        engine: Executes runs.
        operations: The state of the backend.
        page: The runs to begin with.
        heartbeat: Seconds of silence after which a heartbeat comes.
    """
    registry = engine.registry
    with registry.feed() as feed:
        state = state_of(engine, operations)
        first: JSONObject = {"state": state, "runs": [record.summary() for record in page.runs], "more": page.more}
        yield sse.json_event("snapshot", first)
        selection = Selection(record.id for record in page.runs if record.status in OPEN_STATUSES)
        sent_at = time.monotonic()
        while not feed.ended:
            if selection.waiting or await feed.wait(_STATE_SECONDS):
                await asyncio.sleep(_COLLECT_SECONDS)
            changed, missed = feed.take()
            chosen, left_out = selection.choose(changed)
            events = b""
            if chosen:
                summaries: list[JSON] = [registry.record(run).summary() for run in chosen]
                events += sse.json_event("runs", {"runs": summaries, "missed": missed + left_out})
            if (new_state := state_of(engine, operations)) != state:
                state = new_state
                events += sse.json_event("state", state)
            if events or time.monotonic() - sent_at >= heartbeat:
                sent_at = time.monotonic()
                yield events or _HEARTBEAT


def state_of(engine: Engine, operations: Operations) -> JSONObject:
    """Return the gateway's numbers that change all the time."""
    reason, limits = operations.ready(), engine.limits
    status = operations.status()
    state: JSONObject = {
        "ready": reason is None,
        "reason": reason,
        "running": engine.running,
        "places": limits.max_concurrency,
        "queued": engine.queued,
        "queue_size": limits.max_queue_size,
        "backend": operations.backend,
        "simulator": operations.simulator,
        "authentication": status.get("authentication"),
        "plan": status.get("plan"),
        "processes": status.get("processes"),
        "upstreams": status.get("upstreams"),
    }
    return cast("JSONObject", engine.registry.redactor.reply_data(state))
