"""What the gateway says of itself: `/`, `/health` and `/health/ready`."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dragoman import __version__
from dragoman.core.messages import JSONObject
from dragoman.runs.engine import Engine
from dragoman.server.context import get_context
from dragoman.server.options import Operations

_NOT_READY = 503
_ENDPOINTS = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/chat/completions/{id}",
    "/v1/chat/completions/{id}/messages",
    "/v1/responses",
    "/v1/responses/{id}",
    "/v1/responses/{id}/cancel",
    "/v1/responses/{id}/input_items",
    "/v1/responses/input_tokens",
    "/v1/responses/compact",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/models",
    "/v1/models/{id}",
    "/health",
    "/health/ready",
    "/metrics",
    "/admin/status",
    "/admin/runs",
    "/admin/runs/{id}",
    "/admin/runs/{id}/events",
    "/admin/runs/{id}/cancel",
    "/docs",
    "/redoc",
    "/openapi.json",
]


class Health:
    """The endpoints that programs ask before they ask for anything else."""

    def __init__(self, engine: Engine, operations: Operations) -> None:
        self._engine = engine
        self._operations = operations

    async def index(self, request: Request) -> Response:  # noqa: ARG002 - the same for everyone
        """Say what this is and what it answers."""
        return JSONResponse(
            {
                "name": "dragoman",
                "version": __version__,
                "description": "An OpenAI-compatible gateway in front of Claude",
                "docs": "/docs",
                "endpoints": _ENDPOINTS,
            }
        )

    async def alive(self, request: Request) -> Response:  # noqa: ARG002 - the same for everyone
        """Say that the gateway runs."""
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Say whether a question would be answered, and more to those who hold the key."""
        reason = self._operations.ready()
        answer: JSONObject = {"status": "ready" if reason is None else "not_ready"}
        if get_context(request.scope).known:
            answer |= self._details(reason)
        return JSONResponse(answer, status_code=_NOT_READY if reason else 200)

    def _details(self, reason: str | None) -> JSONObject:
        return {
            "version": __version__,
            "reason": reason,
            "runs": {"running": self._engine.running, "queued": self._engine.queued},
            "backend": {"name": self._operations.backend, **self._operations.status()},
        }
