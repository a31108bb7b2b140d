"""`/docs`, `/redoc` and `/openapi.json`.

The two pages are other people's programs, from a CDN: their versions are pinned, their content is checked by hash, and
the pages may load and run nothing else.
"""

import base64
import hashlib
import json
from functools import cached_property

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from dragoman.server.openapi import describe

_CDN = "https://cdn.jsdelivr.net/npm"
_SWAGGER = f"{_CDN}/swagger-ui-dist@5.35.0"
_SWAGGER_JS = "sha384-gjRm0bEPMeTmMh5jT2cHccIwCUZSTd8YC+j0d0sXw0MdGEfScduGpSyF3ZSSLkX9"
_SWAGGER_CSS = "sha384-WlYgdmXYOOBWL5apwjDEZwN+U3HmXSSu5R6V5aGxEcf7z+KuRNwBhoxKVN1i3D5I"
_REDOC = f"{_CDN}/redoc@2.5.1/bundles/redoc.standalone.js"
_REDOC_JS = "sha384-up2uPEo+8XzxuLXKGY4DOk79DbbRclvlcx22QZ60aPWQf8LW69XJ8BWzLFewC05H"

_SWAGGER_START = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#docs", deepLinking: true});'
_REDOC_START = 'Redoc.init("openapi.json", {}, document.getElementById("docs"));'

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Dragoman</title>{head}</head>
<body>
<div id="docs"><noscript>The description itself is <a href="openapi.json">openapi.json</a>.</noscript></div>
{script}
<script>{start}</script>
</body>
</html>
"""


class Docs:
    """The pages that describe the API."""

    async def openapi(self, request: Request) -> Response:  # noqa: ARG002 - the same for everyone
        """Answer the OpenAPI document."""
        return Response(self._document, media_type="application/json")

    async def swagger(self, request: Request) -> Response:  # noqa: ARG002 - the same for everyone
        """Answer the Swagger UI page."""
        head = f'<link rel="stylesheet" href="{_SWAGGER}/swagger-ui.css" integrity="{_SWAGGER_CSS}" crossorigin>'
        return _page(head, f"{_SWAGGER}/swagger-ui-bundle.js", _SWAGGER_JS, _SWAGGER_START)

    async def redoc(self, request: Request) -> Response:  # noqa: ARG002 - the same for everyone
        """Answer the Redoc page."""
        return _page("", _REDOC, _REDOC_JS, _REDOC_START)

    @cached_property
    def _document(self) -> bytes:
        return json.dumps(describe(), separators=(",", ":")).encode()


def _page(head: str, source: str, integrity: str, start: str) -> Response:
    script = f'<script src="{source}" integrity="{integrity}" crossorigin></script>'
    html = _PAGE.format(head=head, script=script, start=start)
    return HTMLResponse(html, headers={"content-security-policy": _policy(source, start)})


def _policy(source: str, start: str) -> str:
    """Only the one script from the CDN and the one line that starts it; both programs set styles on elements."""
    ours = base64.b64encode(hashlib.sha256(start.encode()).digest()).decode()
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {source} 'sha256-{ours}'",
            f"style-src {_SWAGGER}/swagger-ui.css 'unsafe-inline'",
            "img-src 'self' data:",
            "font-src data:",
            "connect-src 'self'",
            "worker-src blob:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
