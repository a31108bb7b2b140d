"""The list of runs as server-sent events, for pages and terminals that show it.

First `snapshot`: `runs`, the newest of them as in `GET /admin/runs`, and `state`, the gateway's numbers. Then, as they
change, `runs` (`{"runs": [...], "missed": 0}`) and `state`. Changes of a tenth of a second come together.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import cast

from dragoman.core.messages import JSONObject
from dragoman.dialects.shared import sse
from dragoman.runs.engine import Engine
from dragoman.server.options import Operations
from dragoman.stores.run_records import RunPage

_COLLECT_SECONDS = 0.1
"""Seconds for which changes are collected: a busy gateway sends ten events a second to a page, not thousands."""
_STATE_SECONDS = 2.0
"""Seconds between two looks at the state while no run changes: processes start and end without one."""
_HEARTBEAT = b": still there\n\n"


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
        yield _encode("snapshot", first)
        sent_at = time.monotonic()
        while not feed.ended:
            if await feed.wait(_STATE_SECONDS):
                await asyncio.sleep(_COLLECT_SECONDS)
            changed, missed = feed.take()
            events = b""
            if changed:
                runs: JSONObject = {"runs": [registry.record(run).summary() for run in changed], "missed": missed}
                events += _encode("runs", runs)
            if (new_state := state_of(engine, operations)) != state:
                state = new_state
                events += _encode("state", state)
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
        "processes": status.get("processes"),
        "upstreams": status.get("upstreams"),
    }
    return cast("JSONObject", engine.registry.redactor.reply_data(state))


def _encode(name: str, data: JSONObject) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), sse.encode_json(data))
