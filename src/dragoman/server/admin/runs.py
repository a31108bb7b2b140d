"""Runs: which there are and were, each by its id, and their end before their time."""

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from dragoman.messages import JSONObject
from dragoman.runs.journal import Journal
from dragoman.server.admin.queries import query_of
from dragoman.server.admin.replies import json_response


async def page_of(journal: Journal, params: QueryParams) -> JSONObject:
    """The runs that are asked for, as the admin API tells them.

    Raises:
        GatewayError: One of the parameters makes no sense, or the records cannot be used.
    """
    page = await journal.page(query_of(params))
    return {"runs": [record.told() for record in page.runs], "more": page.more}


class Runs:
    """The endpoints under `/admin/runs` that answer at once."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def page(self, request: Request) -> Response:
        """Answer `GET /admin/runs`: the newest first; `after` the last one's id comes the next page."""
        return json_response(await page_of(self._journal, request.query_params))

    async def one(self, request: Request) -> Response:
        """Answer `GET /admin/runs/{id}`, with what was asked and answered where that is kept."""
        record = await self._journal.get(request.path_params["id"])
        said = {"asked": record.asked, "answered": record.answered}
        return json_response(record.told() | {name: value for name, value in said.items() if value is not None})

    async def cancel(self, request: Request) -> Response:
        """Answer `POST /admin/runs/{id}/cancel` once the run has ended."""
        return json_response((await self._journal.cancel(request.path_params["id"])).told())
