"""`/docs`, `/redoc` and `/openapi.json`."""

import json
from functools import cached_property

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from dragoman.server.docs.openapi import describe
from dragoman.server.docs.page import Page, render_page


class Docs:
    """The description of the API, for programs and for people. Built when it is first requested."""

    async def openapi(self, request: Request) -> Response:  # noqa: ARG002 - the same for all
        """Return the OpenAPI document."""
        return Response(self._document, media_type="application/json")

    async def page(self, request: Request) -> Response:  # noqa: ARG002 - the same for all
        """Return the page that shows it."""
        return HTMLResponse(self._page.html, headers={"content-security-policy": self._page.policy})

    @cached_property
    def _document(self) -> bytes:
        return json.dumps(describe(), separators=(",", ":")).encode()

    @cached_property
    def _page(self) -> Page:
        return render_page(describe())
