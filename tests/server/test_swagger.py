"""Swagger UI and ReDoc, where their files are installed."""

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from dragoman.core.errors import NotInstalled
from dragoman.server.docs.endpoints import Docs
from dragoman.server.docs.swagger import STARTERS, SWAGGER_FILES


def client(directory: Path | None) -> TestClient:
    """Return a client of the pages alone."""
    docs = Docs(directory)
    paths = {"/docs": docs.page, "/redoc": docs.reading_page, "/docs/{name}": docs.file}
    return TestClient(Starlette(routes=[Route(path, handler) for path, handler in paths.items()]))


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_installed(path: str, tmp_path: Path) -> None:
    """The page loads files of this gateway alone, and its policy forbids all others."""
    for name in SWAGGER_FILES.values():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"the file {name}")
    with client(tmp_path) as http:
        page = http.get(path)
        files = {name: http.get(f"/docs/{name}") for name in (*SWAGGER_FILES, *STARTERS)}
    assert "'unsafe-inline'" not in page.headers["content-security-policy"].partition("script-src")[2].partition(";")[0]
    assert "http" not in page.headers["content-security-policy"] + page.text
    assert {name: files[name].text for name in SWAGGER_FILES} == {n: f"the file {p}" for n, p in SWAGGER_FILES.items()}
    assert all(f'src="docs/{name}"' in page.text for name in (("swagger.js",) if path == "/docs" else ("redoc.js",)))
    assert files["swagger.js"].headers["content-type"].startswith("text/javascript")


def test_not_installed() -> None:
    """The gateway's own pages are shown, and the files are not found."""
    with client(None) as http:
        assert "<form" in http.get("/docs").text
        assert "<form" not in http.get("/redoc").text
        with pytest.raises(NotInstalled, match="not installed"):
            http.get("/docs/swagger-ui.css")
