"""`/docs`, `/redoc` and `/openapi.json`."""

import json
from functools import cached_property
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from dragoman.core.errors import NotInstalled
from dragoman.server.docs.openapi import describe
from dragoman.server.docs.page import Page, render_page
from dragoman.server.docs.swagger import STARTERS, SWAGGER_FILES, redoc_page, swagger_page

_CACHED = {"cache-control": "public, max-age=86400"}


class Docs:
    """The description of the API, for programs and for people. Built when it is first requested.

    Args:
        directory: The files of Swagger UI and ReDoc, which the pages use. None: the pages are the gateway's own.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    async def openapi(self, request: Request) -> Response:  # noqa: ARG002 - the same for all
        """Return the OpenAPI document."""
        return Response(self._document, media_type="application/json")

    async def page(self, request: Request) -> Response:  # noqa: ARG002 - the same for all
        """Return the page that shows it, with forms to send requests."""
        return _html(self._page)

    async def reading_page(self, request: Request) -> Response:  # noqa: ARG002 - the same for all
        """Return the page to read it."""
        return _html(self._reading_page)

    async def file(self, request: Request) -> Response:
        """Return a file of Swagger UI or ReDoc.

        Raises:
            NotInstalled: They are not installed.
        """
        name = request.url.path.rpartition("/")[2]
        if self._directory is None:
            raise NotInstalled(
                "Swagger UI and ReDoc are not installed: `pip install 'dragoman[swagger]'` installs them."
            )
        if name in STARTERS:
            return Response(STARTERS[name], media_type="text/javascript")
        return FileResponse(self._directory / SWAGGER_FILES[name], headers=_CACHED)

    @cached_property
    def _document(self) -> bytes:
        return json.dumps(describe(), separators=(",", ":")).encode()

    @cached_property
    def _page(self) -> Page:
        return swagger_page() if self._directory else render_page(describe())

    @cached_property
    def _reading_page(self) -> Page:
        return redoc_page() if self._directory else render_page(describe(), reading=True)


def _html(page: Page) -> Response:
    return HTMLResponse(page.html, headers={"content-security-policy": page.policy})
