"""The events of one run, as server-sent events for its operator.

First `run`, the record as it is now; then, if there is output already, `message`, all of it as one message; then each
event under its own name, those of the Messages API unchanged; last `end`, the record at its end. For a run that is over
there is what is stored: the record, and the message if responses are stored.
"""

from collections.abc import AsyncIterator, Iterator

import msgspec

from dragoman.core.errors import UpstreamFailed
from dragoman.core.events import BlockDelta, BlockStart, BlockStop, Event, MessageDelta, MessageStart, MessageStop
from dragoman.core.messages import JSONObject
from dragoman.core.redaction import Redactor
from dragoman.dialects.shared import sse
from dragoman.runs.records import RunRegistry
from dragoman.runs.run import Run
from dragoman.stores.run_records import RunRecord

_HEARTBEAT = b": still there\n\n"


async def follow_run(registry: RunRegistry, id_: str, heartbeat: float) -> AsyncIterator[bytes]:
    """Return the events of a run, as they come.

    Args:
        registry: The runs.
        id_: The id of the run.
        heartbeat: Seconds of silence after which a heartbeat comes.

    Raises:
        NotFound: There is no such run.
        Conflict: Another gateway executes it.
    """
    run = registry.live(id_)
    if run is not None:
        return _live_events(registry, run, heartbeat)
    return _encoded(record_events(await registry.get_ended(id_)))


def record_events(record: RunRecord) -> list[tuple[str, JSONObject]]:
    """Return the events of a run that is over, each with its name."""
    message = [] if record.response is None else [("message", record.response)]
    return [("run", record.summary()), *message, ("end", record.summary())]


async def _live_events(registry: RunRegistry, run: Run, heartbeat: float) -> AsyncIterator[bytes]:
    with run.subscribe() as subscriber:
        record = registry.record(run)
        yield sse.json_event("run", record.summary())
        status = record.status
        while True:
            ended = run.ended  # read before the events, so that none is missed
            if events := b"".join(_run_events(run, subscriber.take(), registry.redactor)):
                yield events
            if ended:
                break
            if run.status != status:
                status = run.status
                yield sse.json_event("status", {"status": status})
            if not await subscriber.wait(heartbeat):
                yield _HEARTBEAT
    yield sse.json_event("end", registry.record(run).summary())


async def _encoded(events: list[tuple[str, JSONObject]]) -> AsyncIterator[bytes]:
    for name, data in events:
        yield sse.json_event(name, data)


def _run_events(run: Run, events: list[Event] | None, redactor: Redactor) -> Iterator[bytes]:
    """Encode events. When some were missed, encode the whole message so far instead."""
    if events is None:
        try:
            yield sse.json_event("message", run.result().message)
        except UpstreamFailed:
            return  # there is no output yet
    for event in events or ():
        match event:
            case MessageStart(raw=raw) | MessageDelta(raw=raw) | MessageStop(raw=raw):
                yield sse.json_event(str(raw["type"]), raw)
            case BlockStart(raw=raw) | BlockDelta(raw=raw) | BlockStop(raw=raw):
                yield sse.json_event(str(raw["type"]), raw)
            case _:
                yield sse.json_event(type(event).__name__.lower(), redactor.reply_data(msgspec.to_builtins(event)))
