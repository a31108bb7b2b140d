"""The admin API: what the operator asks of the gateway. Keyed like everything else, and in no dialect."""

from starlette.routing import Route

from dragoman.runs import Engine
from dragoman.server.admin.errors import encode_admin_error
from dragoman.server.admin.following import Following, told_of
from dragoman.server.admin.runs import Runs, page_of
from dragoman.server.admin.status import Status
from dragoman.server.options import Operations

__all__ = ["ADMIN", "admin_routes", "encode_admin_error", "page_of", "told_of"]

ADMIN = "/admin/"
"""What every path of it begins with."""


def admin_routes(engine: Engine, operations: Operations, heartbeat: float) -> list[Route]:
    """Its routes."""
    runs, following = Runs(engine.journal), Following(engine.journal, heartbeat)
    return [
        Route("/admin/status", Status(engine, operations).answer, methods=["GET"]),
        Route("/admin/runs", runs.page, methods=["GET"]),
        Route("/admin/runs/{id}", runs.one, methods=["GET"]),
        Route("/admin/runs/{id}/events", following.events, methods=["GET"]),
        Route("/admin/runs/{id}/cancel", runs.cancel, methods=["POST"]),
    ]
