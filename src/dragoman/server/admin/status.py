"""How the gateway does, for its operator: account, processes, runs, versions, and how Claude answered last."""

import os
import platform
import time

from starlette.requests import Request
from starlette.responses import Response

from dragoman import __version__
from dragoman.messages import JSONObject
from dragoman.runs import Engine
from dragoman.server.admin.replies import json_response
from dragoman.server.options import Operations


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
            "last": self._engine.journal.last(),
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
