"""The log of requests and responses, at debug and trace: only when the operator asks for it."""

import json
from collections.abc import Sequence
from typing import cast

from dragoman.core import log
from dragoman.core.errors import UpstreamFailed
from dragoman.core.events import BlockDelta, Event
from dragoman.core.json_text import BYTE_ORDER_MARK, replace_half_characters
from dragoman.core.messages import JSONObject
from dragoman.dialects.base import DecodedRequest
from dragoman.runs.run import Run
from dragoman.server.context import RequestContext


def log_request(context: RequestContext, raw: bytes) -> None:
    """Log a request body as it was received."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in context.headers.items()}
    log.debug("request.body", request=context.id, headers=headers, body=_parsed(raw))


def log_decoded(context: RequestContext, decoded: DecodedRequest) -> None:
    """Log the decoded request: what is sent to Claude."""
    warnings = [
        {"code": warning.code, "param": warning.param, "detail": warning.detail} for warning in decoded.warnings
    ]
    log.debug("request.understood", request=context.id, body=decoded.body, warnings=warnings or None)


def log_event(run: Run, event: Event) -> None:
    """Log an event of a run, at trace."""
    log.debug("run.event", level="trace", run=run.id, kind=type(event).__name__, got=_loggable(event))


def log_answers(context: RequestContext) -> None:
    """Log the responses of all runs of a request."""
    for run in context.runs:
        try:
            message = run.result().message
        except UpstreamFailed:  # no output; `http.error` and `run.end` report why
            continue
        log.debug("answer.message", request=context.id, run=run.id, message=message)
        if calls := _calls(cast("Sequence[JSONObject]", message["content"])):
            log.debug("answer.tool_calls", request=context.id, run=run.id, calls=calls)


def _parsed(raw: bytes) -> object:
    try:
        return json.loads(replace_half_characters(raw.removeprefix(BYTE_ORDER_MARK)))
    except (ValueError, RecursionError):
        return raw


def _loggable(event: Event) -> object:
    """Return an event for the log. Deltas show only lengths: the redactor cannot recognise half a secret."""
    if not isinstance(event, BlockDelta):
        return event
    delta = cast("JSONObject", event.raw["delta"])
    lengths = {key: len(value) for key, value in delta.items() if isinstance(value, str) and key != "type"}
    return {"index": event.index, "type": delta.get("type"), "characters": lengths}


def _calls(content: Sequence[JSONObject]) -> list[JSONObject]:
    return [
        {key: block.get(key) for key in ("id", "name", "input")} for block in content if block.get("type") == "tool_use"
    ]
