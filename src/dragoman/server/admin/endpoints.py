"""Answers of the admin API.

Errors of the admin API: plain JSON, in nobody's dialect.

What part of the runs a request to the admin API asks for.

Runs: which there are and were, each by its id, and their end before their time.

How the gateway does, for its operator: account, processes, runs, versions, and how Claude answered last.

The admin API: what the operator asks of the gateway. Keyed like everything else, and in no dialect.
"""

import os
import platform
import re
import time
from collections.abc import Mapping
from datetime import datetime

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dragoman import __version__
from dragoman.core.errors import GatewayError, InvalidRequest
from dragoman.core.messages import JSONObject
from dragoman.dialects.base import ErrorResponse
from dragoman.dialects.shared.errors import status_of
from dragoman.dialects.shared.validation import parse_digits
from dragoman.runs.engine import Engine
from dragoman.runs.records import RunRegistry
from dragoman.server.admin.follow import Following
from dragoman.server.options import Operations
from dragoman.stores.run_records import RunQuery


def json_response(body: Mapping[str, object]) -> Response:
    """An answer that is JSON."""
    return Response(msgspec.json.encode(body), media_type="application/json")


def encode_admin_error(error: GatewayError) -> ErrorResponse:
    """An error as the admin API says it."""
    told = {"code": error.code, "message": error.message, "param": error.param, "request_id": error.request_id}
    return ErrorResponse(status_of(error).http, msgspec.json.encode({"error": told}))


_STATUSES = ("queued", "running", "succeeded", "failed", "cancelled")
_KNOWN = frozenset({"status", "model", "client", "since", "after", "limit"})
_MOST = 500
_AGO = re.compile(r"(\d+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def query_of(params: QueryParams) -> RunQuery:
    """The query in a request's parameters.

    Raises:
        InvalidRequest: One of them is unknown or makes no sense; `param` names it.
    """
    if unknown := sorted(set(params) - _KNOWN):
        raise InvalidRequest(f"`{unknown[0]}` is no filter: {', '.join(sorted(_KNOWN))}.", param=unknown[0])
    return RunQuery(
        statuses=_statuses(params.getlist("status")),
        model=params.get("model"),
        client=params.get("client"),
        since=_since(params["since"]) if "since" in params else None,
        after=params.get("after"),
        limit=_limit(params.get("limit", "50")),
    )


def _statuses(given: list[str]) -> tuple[str, ...]:
    """As `a,b` or given several times."""
    wanted = tuple(word for part in given for word in part.split(",") if word)
    for word in wanted:
        if word not in _STATUSES:
            raise InvalidRequest(f"`{word}` is no status: {', '.join(_STATUSES)}.", param="status")
    return wanted


def _since(text: str) -> float:
    """Seconds since 1970, from a time or how long ago it is."""
    if (ago := _AGO.fullmatch(text)) and (count := parse_digits(ago[1])) is not None:
        return time.time() - count * _SECONDS[ago[2]]
    try:
        return float(text) if text.replace(".", "", 1).isdigit() else datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise InvalidRequest(
            f"`{text[:40]}` is no time: write `15m`, `2h`, `7d`, `2026-01-31T12:00` or seconds since 1970.",
            param="since",
        ) from None


def _limit(text: str) -> int:
    limit = parse_digits(text)
    if limit is None or not 1 <= limit <= _MOST:
        raise InvalidRequest(f"`limit` is a number from 1 to {_MOST}.", param="limit")
    return limit


async def page_of(registry: RunRegistry, params: QueryParams) -> JSONObject:
    """The runs that are asked for, as the admin API tells them.

    Raises:
        GatewayError: One of the parameters makes no sense, or the records cannot be used.
    """
    page = await registry.page(query_of(params))
    return {"runs": [record.summary() for record in page.runs], "more": page.more}


class Runs:
    """The endpoints under `/admin/runs` that answer at once."""

    def __init__(self, registry: RunRegistry) -> None:
        self._registry = registry

    async def page(self, request: Request) -> Response:
        """Answer `GET /admin/runs`: the newest first; `after` the last one's id comes the next page."""
        return json_response(await page_of(self._registry, request.query_params))

    async def one(self, request: Request) -> Response:
        """Answer `GET /admin/runs/{id}`, with what was asked and answered where that is kept."""
        record = await self._registry.get(request.path_params["id"])
        said = {"asked": record.prompt, "answered": record.response}
        return json_response(record.summary() | {name: value for name, value in said.items() if value is not None})

    async def cancel(self, request: Request) -> Response:
        """Answer `POST /admin/runs/{id}/cancel` once the run has ended."""
        return json_response((await self._registry.cancel(request.path_params["id"])).summary())


class Status:
    """The endpoint that tells all at once."""

    def __init__(self, engine: Engine, operations: Operations) -> None:
        self._engine = engine
        self._operations = operations
        self._since = time.monotonic()

    async def answer(self, request: Request) -> Response:  # noqa: ARG002 - the same for everyone
        """Answer `GET /admin/status`. It takes a moment: the official command is asked for the sign-in."""
        inquired = await self._operations.inquire()
        reason = self._operations.ready()
        status = {
            "status": "ready" if reason is None else "not_ready",
            "reason": reason,
            "version": __version__,
            "python": platform.python_version(),
            "pid": os.getpid(),
            "uptime": round(time.monotonic() - self._since, 1),
            "runs": self._runs(),
            "last": self._engine.registry.last(),
            "simulator": self._operations.simulator,
            "backend": {"name": self._operations.backend, **self._operations.status(), "more": inquired},
        }
        return json_response(status)

    def _runs(self) -> JSONObject:
        limits = self._engine.limits
        return {
            "running": self._engine.running,
            "places": limits.max_concurrency,
            "queued": self._engine.queued,
            "queue_size": limits.max_queue_size,
        }


ADMIN = "/admin/"
"""What every path of it begins with."""


def admin_routes(engine: Engine, operations: Operations, heartbeat: float) -> list[Route]:
    """Its routes."""
    runs, following = Runs(engine.registry), Following(engine.registry, heartbeat)
    return [
        Route("/admin/status", Status(engine, operations).answer, methods=["GET"]),
        Route("/admin/runs", runs.page, methods=["GET"]),
        Route("/admin/runs/{id}", runs.one, methods=["GET"]),
        Route("/admin/runs/{id}/events", following.events, methods=["GET"]),
        Route("/admin/runs/{id}/cancel", runs.cancel, methods=["POST"]),
    ]
