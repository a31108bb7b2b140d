"""`GET /`, `/health` and `/health/ready`: what this gateway is, and whether it works."""

from typing import cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dragoman import __version__
from dragoman.core.messages import JSON, JSONObject
from dragoman.runs.engine import Engine
from dragoman.server.context import get_context
from dragoman.server.options import Operations
from dragoman.server.routes import INDEX

_NOT_READY = 503


class Health:
    """The endpoints that monitors and load balancers call."""

    def __init__(self, engine: Engine, operations: Operations) -> None:
        self._engine = engine
        self._operations = operations
        if operations.peers:
            operations.peers.answer("ready", self._answer_ready)

    async def index(self, request: Request) -> Response:  # noqa: ARG002 - the same for all
        """Return name, version and endpoints."""
        return JSONResponse(
            {
                "name": "dragoman",
                "version": __version__,
                "description": "An OpenAI-compatible gateway in front of Claude",
                "docs": "/docs",
                "endpoints": INDEX,
            }
        )

    async def alive(self, request: Request) -> Response:  # noqa: ARG002 - the same for all
        """Return that the gateway runs."""
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Return whether a request would be answered, with details for the operator."""
        reason = self._operations.ready() or await self._reason_of_peers()
        body: JSONObject = {"status": "ready" if reason is None else "not_ready"}
        if get_context(request.scope).is_operator:
            body |= cast("JSONObject", self._engine.registry.redactor.reply_data(self._details(reason)))
        return JSONResponse(body, status_code=_NOT_READY if reason else 200)

    async def _reason_of_peers(self) -> str | None:
        """Return why another worker is not ready. One that is being started again gets no requests."""
        peers = self._operations.peers
        reasons = await peers.ask("ready") if peers else {}
        return next((f"Worker {index}: {reason}" for index, reason in reasons.items() if reason), None)

    async def _answer_ready(self, _argument: str) -> JSON:
        return self._operations.ready()

    def _details(self, reason: str | None) -> JSONObject:
        return {
            "version": __version__,
            "reason": reason,
            "failures": dict(self._operations.failures()),
            "runs": {"running": self._engine.running, "queued": self._engine.queued},
            "backend": {"name": self._operations.backend, **self._operations.status()},
        }
