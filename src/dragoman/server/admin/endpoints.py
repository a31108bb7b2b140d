"""The admin API: the operator's view of the gateway and its runs. Its errors are plain JSON, in no dialect."""

import os
import platform
import time
from typing import cast

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from dragoman import __version__
from dragoman.config.values import point_in_time
from dragoman.core.errors import GatewayError, InvalidRequest
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.base import ErrorResponse
from dragoman.dialects.shared.errors import status_of
from dragoman.dialects.shared.validation import parse_digits
from dragoman.runs.engine import Engine
from dragoman.runs.records import RunRegistry
from dragoman.server.admin.follow import follow_run
from dragoman.server.admin.live import live_runs
from dragoman.server.options import Operations
from dragoman.server.peers import Peers
from dragoman.server.replies import json_response
from dragoman.stores.run_records import RunQuery

_STATUSES = ("queued", "running", "succeeded", "failed", "cancelled")
_FILTERS = frozenset({"status", "model", "client", "since", "after", "limit"})
_MAX_PAGE_SIZE = 500
_STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class AdminEndpoints:
    """The endpoints under `/admin/`.

    Args:
        engine: Executes runs.
        operations: What the backend tells its operator.
        heartbeat: Seconds of silence after which a stream gets a heartbeat.
    """

    def __init__(self, engine: Engine, operations: Operations, heartbeat: float) -> None:
        self._engine = engine
        self._registry = engine.registry
        self._operations = operations
        self._heartbeat = heartbeat
        self._started_at = time.monotonic()
        if operations.peers:
            operations.peers.answer("status", self._answer_status)

    async def status(self, request: Request) -> Response:  # noqa: ARG002 - the same for all
        """Return the state of the gateway. Slow: it runs the official command to learn the state of the sign-in."""
        details = await self._operations.inquire()
        reason = self._operations.ready()
        body: JSONObject = {
            "status": "ready" if reason is None else "not_ready",
            "reason": reason,
            "failures": dict(self._operations.failures()),
            "version": __version__,
            "python": platform.python_version(),
            "pid": os.getpid(),
            "uptime": round(time.monotonic() - self._started_at, 1),
            "runs": self._runs(),
            "last": self._registry.last(),
            "simulator": self._operations.simulator,
            "backend": {"name": self._operations.backend, **self._operations.status(), "more": details},
        }
        peers = self._operations.peers
        if peers and peers.count > 1:
            body |= await self._workers(peers, body)
        if peers and peers.nodes:
            body["nodes"] = msgspec.to_builtins([peers.nodes.own, *peers.nodes.others.values()])
        # The backend's words may quote those of other programs.
        return json_response(cast("JSONObject", self._registry.redactor.reply_data(body)))

    async def _workers(self, peers: Peers, body: JSONObject) -> JSONObject:
        """Return the state of each worker, the runs of all of them, and the process that started them."""
        own = {"pid": body["pid"], "uptime": body["uptime"], "reason": body["reason"], "runs": body["runs"]}
        workers = {peers.index: own, **await peers.ask("status")}
        sums: dict[str, JSON] = {}
        for worker in workers.values():
            for name, count in cast("dict[str, dict[str, int]]", worker)["runs"].items():
                sums[name] = cast("int", sums.get(name, 0)) + count
        listed: list[JSON] = [{"worker": index, **cast("JSONObject", one)} for index, one in sorted(workers.items())]
        return {"workers": listed, "runs": sums, "pid": os.getppid()}

    async def _answer_status(self, _argument: str) -> JSON:
        return {
            "pid": os.getpid(),
            "uptime": round(time.monotonic() - self._started_at, 1),
            "reason": self._operations.ready(),
            "runs": self._runs(),
        }

    def _runs(self) -> JSONObject:
        limits = self._engine.limits
        return {
            "running": self._engine.running,
            "places": limits.max_concurrency,
            "queued": self._engine.queued,
            "queue_size": limits.max_queue_size,
        }

    async def runs(self, request: Request) -> Response:
        """Return a page of runs, newest first."""
        return json_response(await run_page(self._registry, request.query_params))

    async def run(self, request: Request) -> Response:
        """Return one run, with its request and response if they are stored."""
        record = await self._registry.get(request.path_params["id"])
        content = {"asked": record.prompt, "answered": record.response}
        costs: dict[str, JSON] = {name: float(dollars) for name, dollars in record.cost_parts().items()}
        return json_response(
            record.summary() | {"costs": costs} | {name: value for name, value in content.items() if value is not None}
        )

    async def cancel(self, request: Request) -> Response:
        """Cancel a run. Respond when it has ended."""
        return json_response((await self._registry.cancel(request.path_params["id"])).summary())

    async def events(self, request: Request) -> Response:
        """Stream the events of a run."""
        events = await follow_run(self._registry, request.path_params["id"], self._heartbeat)
        return StreamingResponse(events, media_type="text/event-stream", headers=_STREAM_HEADERS)

    async def live(self, request: Request) -> Response:
        """Stream the list of runs and the gateway's state, as they change."""
        page = await self._registry.page(RunQuery(limit=_limit(request.query_params.get("limit", "100"))))
        events = live_runs(self._engine, self._operations, page, self._heartbeat)
        return StreamingResponse(events, media_type="text/event-stream", headers=_STREAM_HEADERS)

    async def settings(self, request: Request) -> Response:  # noqa: ARG002 - the same for all
        """Return the settings that this gateway runs with. Of a secret, only whether it is set."""
        return json_response({"settings": [*self._operations.settings()]})


def encode_admin_error(error: GatewayError) -> ErrorResponse:
    """Encode an error in the form of the admin API."""
    detail = {"code": error.code, "message": error.message, "param": error.param, "request_id": error.request_id}
    return ErrorResponse(status_of(error).http, msgspec.json.encode({"error": detail}))


async def run_page(registry: RunRegistry, params: QueryParams) -> JSONObject:
    """Return a page of runs in the form of the admin API.

    Raises:
        GatewayError: A parameter is invalid, or the records cannot be read.
    """
    page = await registry.page(_run_query(params))
    return {"runs": [record.summary() for record in page.runs], "more": page.more}


def _run_query(params: QueryParams) -> RunQuery:
    if unknown := sorted(set(params) - _FILTERS):
        raise InvalidRequest(
            f"`{unknown[0]}` is not a filter. The filters are {', '.join(sorted(_FILTERS))}.", param=unknown[0]
        )
    return RunQuery(
        statuses=_statuses(params.getlist("status")),
        model=params.get("model"),
        client=params.get("client"),
        since=_since(params["since"]) if "since" in params else None,
        after=params.get("after"),
        limit=_limit(params.get("limit", "50")),
    )


def _statuses(values: list[str]) -> tuple[str, ...]:
    """Return statuses that are written as `a,b` or in several parameters."""
    statuses = tuple(word for value in values for word in value.split(",") if word)
    for word in statuses:
        if word not in _STATUSES:
            raise InvalidRequest(f"`{word}` is not a status. The statuses are {', '.join(_STATUSES)}.", param="status")
    return statuses


def _since(text: str) -> float:
    try:
        return point_in_time(text)
    except ValueError as error:
        raise InvalidRequest(str(error), param="since") from None


def _limit(text: str) -> int:
    limit = parse_digits(text)
    if limit is None or not 1 <= limit <= _MAX_PAGE_SIZE:
        raise InvalidRequest(f"`limit` must be a number from 1 to {_MAX_PAGE_SIZE}.", param="limit")
    return limit
