"""What people write and what they are answered, for the log at debug and trace: only where its owner wants it."""

import json
from collections.abc import Sequence
from typing import cast

import structlog

from dragoman.errors import UpstreamFailed
from dragoman.events import BlockDelta, Event
from dragoman.fold import Fold
from dragoman.messages import JSONObject
from dragoman.runs import Run
from dragoman.server.exchange import Exchange
from dragoman.wire.base import Decoded

log = structlog.get_logger("dragoman.payloads")


def log_request(exchange: Exchange, raw: bytes) -> None:
    """Write a request as it came."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in exchange.headers.items()}
    log.debug("request.body", request=exchange.id, headers=headers, body=_readable(raw))


def log_understood(exchange: Exchange, decoded: Decoded) -> None:
    """Write what was understood of it: what Claude is asked."""
    warnings = [{"code": notice.code, "param": notice.param, "detail": notice.detail} for notice in decoded.notices]
    log.debug("request.understood", request=exchange.id, body=decoded.body, warnings=warnings or None)


class Answers:
    """What the runs of one request say: each answer once it is over, and at trace every event on the way.

    A piece of an answer is logged by its length alone: half a secret would not be known for one.

    Args:
        request: The request's id.
        trace: Whether events are logged.
    """

    def __init__(self, request: str, *, trace: bool) -> None:
        self._request = request
        self._trace = trace
        self._folds: dict[str, Fold] = {}

    def saw(self, run: Run, event: Event) -> None:
        """Take the next event of a run."""
        self._folds.setdefault(run.id, Fold()).add(event)
        if self._trace:
            log.debug("run.event", level="trace", run=run.id, kind=type(event).__name__, got=_shown(event))

    def over(self) -> None:
        """Write the answers. Idempotent."""
        folds, self._folds = self._folds, {}
        for run, fold in folds.items():
            try:
                message = fold.result().message
            except UpstreamFailed:  # it failed before its first word: `http.request` and `run.end` say so
                continue
            log.debug("answer.message", request=self._request, run=run, message=message)
            if calls := _calls(cast("Sequence[JSONObject]", message["content"])):
                log.debug("answer.tool_calls", request=self._request, run=run, calls=calls)


def _readable(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return raw


def _shown(event: Event) -> object:
    if not isinstance(event, BlockDelta):
        return event
    delta = cast("JSONObject", event.raw["delta"])
    lengths = {key: len(value) for key, value in delta.items() if isinstance(value, str) and key != "type"}
    return {"index": event.index, "type": delta.get("type"), "characters": lengths}


def _calls(content: Sequence[JSONObject]) -> list[JSONObject]:
    return [
        {key: block.get(key) for key in ("id", "name", "input")} for block in content if block.get("type") == "tool_use"
    ]
