"""A run's events as they come, as server-sent events.

First `run`, the record as it stands; then, where something was said already, `message`, all of it as one message; then
each event by its own name, those of the Messages API as they are; last `end`, the record as it ended. Of a run that is
over there is what is kept: the record, and the message if answers are kept.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from dragoman.core.errors import UpstreamFailed
from dragoman.core.events import BlockDelta, BlockStart, BlockStop, Event, MessageDelta, MessageStart, MessageStop
from dragoman.core.messages import JSONObject
from dragoman.runs.records import RunRegistry
from dragoman.runs.run import Run
from dragoman.stores.run_records import RunRecord

_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}
_HEARTBEAT = b": still there\n\n"


class Following:
    """The endpoint that looks on."""

    def __init__(self, registry: RunRegistry, heartbeat: float) -> None:
        self._registry = registry
        self._heartbeat = heartbeat

    async def events(self, request: Request) -> Response:
        """Answer `GET /admin/runs/{id}/events`."""
        id_ = request.path_params["id"]
        run = self._registry.live(id_)
        events = self._of(run) if run else _of_record(await self._registry.get_ended(id_))
        return StreamingResponse(events, media_type="text/event-stream", headers=_HEADERS)

    async def _of(self, run: Run) -> AsyncIterator[bytes]:
        with run.subscribe() as watcher:
            record = self._registry.record(run)
            yield _said("run", record.summary())
            status = record.status
            while True:
                ended = run.ended  # asked before what came is taken, so that nothing is missed
                if told := b"".join(_told(run, watcher.take())):
                    yield told
                if ended:
                    break
                if run.status != status:
                    status = run.status
                    yield _said("status", {"status": status})
                if not await watcher.wait(self._heartbeat):
                    yield _HEARTBEAT
        yield _said("end", self._registry.record(run).summary())


def told_of(record: RunRecord) -> list[tuple[str, JSONObject]]:
    """What is told of a run that is over: events, each with its name."""
    said = [] if record.response is None else [("message", record.response)]
    return [("run", record.summary()), *said, ("end", record.summary())]


async def _of_record(record: RunRecord) -> AsyncIterator[bytes]:
    for name, data in told_of(record):
        yield _said(name, data)


def _told(run: Run, events: list[Event] | None) -> Iterator[bytes]:
    """The events; or, where some were missed, all that was said."""
    if events is None:
        try:
            yield _said("message", run.result().message)
        except UpstreamFailed:
            return  # nothing was said yet
    for event in events or ():
        match event:
            case MessageStart(raw) | MessageDelta(raw) | MessageStop(raw):
                yield _said(str(raw["type"]), raw)
            case BlockStart(raw=raw) | BlockDelta(raw=raw) | BlockStop(raw=raw):
                yield _said(str(raw["type"]), raw)
            case _:
                yield _said(type(event).__name__.lower(), asdict(event))


def _said(name: str, data: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))
