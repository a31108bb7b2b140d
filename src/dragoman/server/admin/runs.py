"""Runs: which there are and were, each by its id, and their end before their time."""

from starlette.requests import Request
from starlette.responses import Response

from dragoman.runs.journal import Journal
from dragoman.server.admin.queries import query_of
from dragoman.server.admin.replies import json_response


class Runs:
    """The endpoints under `/admin/runs` that answer at once."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def page(self, request: Request) -> Response:
        """Answer `GET /admin/runs`: the newest first; `after` the last one's id comes the next page."""
        page = await self._journal.page(query_of(request.query_params))
        return json_response({"runs": [record.told() for record in page.runs], "more": page.more})

    async def one(self, request: Request) -> Response:
        """Answer `GET /admin/runs/{id}`, with what was asked and answered where that is kept."""
        record = await self._journal.get(request.path_params["id"])
        said = {"asked": record.asked, "answered": record.answered}
        return json_response(record.told() | {name: value for name, value in said.items() if value is not None})

    async def cancel(self, request: Request) -> Response:
        """Answer `POST /admin/runs/{id}/cancel` once the run has ended."""
        return json_response((await self._journal.cancel(request.path_params["id"])).told())
