"""What people write and what they are answered, for the log at debug and trace: only where its owner wants it."""

import json
from collections.abc import Sequence
from typing import cast

import structlog

from dragoman.core.errors import UpstreamFailed
from dragoman.core.events import BlockDelta, BlockStop, Event, MessageDelta
from dragoman.core.messages import JSONObject
from dragoman.dialects.base import DecodedRequest
from dragoman.runs.run import Run
from dragoman.server.context import RequestContext

log = structlog.get_logger("dragoman.payloads")


def log_request(context: RequestContext, raw: bytes) -> None:
    """Write a request as it came."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in context.headers.items()}
    log.debug("request.body", request=context.id, headers=headers, body=_readable(raw))


def log_understood(context: RequestContext, decoded: DecodedRequest) -> None:
    """Write what was understood of it: what Claude is asked."""
    warnings = [
        {"code": warning.code, "param": warning.param, "detail": warning.detail} for warning in decoded.warnings
    ]
    log.debug("request.understood", request=context.id, body=decoded.body, warnings=warnings or None)


def log_event(run: Run, event: Event) -> None:
    """Write what happened in a run, at trace."""
    log.debug("run.event", level="trace", run=run.id, kind=type(event).__name__, got=_shown(event))


def log_answers(context: RequestContext) -> None:
    """Write what was said in all runs of a request, each answer once."""
    for run in context.runs:
        try:
            message = run.result().message
        except UpstreamFailed:  # it failed before its first word: `http.error` and `run.end` say so
            continue
        log.debug("answer.message", request=context.id, run=run.id, message=message)
        if calls := _calls(cast("Sequence[JSONObject]", message["content"])):
            log.debug("answer.tool_calls", request=context.id, run=run.id, calls=calls)


def _readable(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return raw


def _shown(event: Event) -> object:
    """An event; a piece of an answer by its length alone, since half a secret would not be known for one."""
    if isinstance(event, BlockStop):
        return {"index": event.index, "raw": event.raw}
    if isinstance(event, MessageDelta):
        return {"raw": event.raw}
    if not isinstance(event, BlockDelta):
        return event
    delta = cast("JSONObject", event.raw["delta"])
    lengths = {key: len(value) for key, value in delta.items() if isinstance(value, str) and key != "type"}
    return {"index": event.index, "type": delta.get("type"), "characters": lengths}


def _calls(content: Sequence[JSONObject]) -> list[JSONObject]:
    return [
        {key: block.get(key) for key in ("id", "name", "input")} for block in content if block.get("type") == "tool_use"
    ]
