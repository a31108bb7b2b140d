"""Swagger UI and ReDoc, where the extra `dragoman[swagger]` is installed. They load nothing from elsewhere."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from dragoman.server.docs.page import Page

SWAGGER_FILES: Mapping[str, str] = {
    "swagger-ui.css": "swagger-ui-dist/swagger-ui.css",
    "swagger-ui-bundle.js": "swagger-ui-dist/swagger-ui-bundle.js",
    "redoc.standalone.js": "redoc/bundles/redoc.standalone.js",
}
"""What the pages load below `/docs/`, and where it is in the package."""

STARTERS: Mapping[str, str] = {
    "swagger.js": (
        'SwaggerUIBundle({url: "openapi.json", dom_id: "#ui", deepLinking: true, filter: true, '
        'docExpansion: "list", defaultModelsExpandDepth: 0, persistAuthorization: false, '
        "requestSnippetsEnabled: true, validatorUrl: null});\n"
    ),
    "redoc.js": 'Redoc.init("openapi.json", {expandResponses: "200", hideDownloadButton: false, '
    'disableSearch: false, nativeScrollbars: true}, document.getElementById("ui"));\n',
}
"""The scripts that start them: the policy of the pages forbids scripts inside."""

_PACKAGE = "drf_spectacular_sidecar"
_PAGE = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Dragoman: {title}</title><link rel="icon" href="data:,">{style}</head>
<body><div id="ui"></div><script src="docs/{library}"></script><script src="docs/{starter}"></script></body>
</html>
"""
_RULES = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self' 'unsafe-inline'",  # both libraries set styles from their scripts
    "img-src 'self' data:",
    "worker-src blob:",  # the search of ReDoc
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)
_POLICY = "; ".join(_RULES)


def swagger_directory() -> Path | None:
    """Return the directory of the installed files. The package itself is for Django, and is not imported."""
    spec = importlib.util.find_spec(_PACKAGE)
    for location in (spec and spec.submodule_search_locations) or ():
        directory = Path(location) / "static" / _PACKAGE
        if all((directory / path).is_file() for path in SWAGGER_FILES.values()):
            return directory
    return None


def swagger_page() -> Page:
    """Return the page of Swagger UI."""
    style = '<link rel="stylesheet" href="docs/swagger-ui.css">'
    html = _PAGE.format(title="API", style=style, library="swagger-ui-bundle.js", starter="swagger.js")
    return Page(html, _POLICY)


def redoc_page() -> Page:
    """Return the page of ReDoc."""
    return Page(_PAGE.format(title="API", style="", library="redoc.standalone.js", starter="redoc.js"), _POLICY)
