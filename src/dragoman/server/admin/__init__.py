"""The admin API: what the operator asks of the gateway. Keyed like everything else, and in no dialect."""

from starlette.routing import Route

from dragoman.runs.journal import Journal
from dragoman.server.admin.errors import encode_admin_error
from dragoman.server.admin.following import Following
from dragoman.server.admin.runs import Runs

__all__ = ["ADMIN", "admin_routes", "encode_admin_error"]

ADMIN = "/admin/"
"""What every path of it begins with."""


def admin_routes(journal: Journal, heartbeat: float) -> list[Route]:
    """Its routes."""
    runs, following = Runs(journal), Following(journal, heartbeat)
    return [
        Route("/admin/runs", runs.page, methods=["GET"]),
        Route("/admin/runs/{id}", runs.one, methods=["GET"]),
        Route("/admin/runs/{id}/events", following.events, methods=["GET"]),
        Route("/admin/runs/{id}/cancel", runs.cancel, methods=["POST"]),
    ]
