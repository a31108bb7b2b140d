"""The route table: the router, the OpenAPI document and `GET /` all come from it, and agree."""

import re
from pathlib import Path

import jsonschema
import pytest
from scripted import clean, replies, served

from dragoman.server.route_spec import RouteSpec
from dragoman.server.routes import ROUTES

_clean = pytest.fixture(autouse=True)(clean)

METHODS = frozenset({"GET", "POST", "DELETE"})


def documented_path(route: RouteSpec) -> str:
    """Return the path of a route as the OpenAPI document writes it, without Starlette's converters."""
    return re.sub(r":\w+}", "}", route.canonical_path)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.canonical_path}")
async def test_router_knows_every_route(route: RouteSpec) -> None:
    """Each path accepts the methods of its routes, with and without `/v1`. Any other method is a 405."""
    accepted = {other.method for other in ROUTES if other.canonical_path == route.canonical_path}
    async with served(replies("Hello")) as gateway:
        for template in route.paths:
            path = re.sub(r"{[^}]+}", "x", template)
            async with gateway.http.stream(route.method, path) as response:
                is_endless = response.headers.get("content-type", "").startswith("text/event-stream")
                body = "" if is_endless else (await response.aread()).decode()
            assert response.status_code not in {405, 500}, (path, body)
            assert "unknown_url" not in body
            refused = await gateway.http.request("PUT", path)
            assert refused.status_code == 405
            assert "does not accept PUT" in refused.json()["error"]["message"]
            assert set(refused.headers["allow"].split(", ")) & METHODS <= accepted


async def test_openapi_document_holds_every_operation() -> None:
    """It describes each route with an operation, and no other."""
    async with served(replies("Hello")) as gateway:
        paths = (await gateway.http.get("/openapi.json")).json()["paths"]
    described = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    assert described == {(route.method, documented_path(route)) for route in ROUTES if route.operation}


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if route.operation and not route.public],
    ids=lambda route: f"{route.method} {route.canonical_path}",
)
async def test_a_missing_key_is_documented(route: RouteSpec) -> None:
    """Every path that needs a key documents its error, and every error has a schema."""
    async with served(replies("Hello"), api_key="secret-of-this-gateway") as gateway:
        operations = (await gateway.http.get("/openapi.json")).json()["paths"][documented_path(route)]
        refused = await gateway.http.request(route.method, re.sub(r"{[^}]+}", "x", route.canonical_path), json={})
    responses = operations[route.method.lower()]["responses"]
    assert refused.status_code == 401
    assert "401" in responses or "default" in responses
    assert all("schema" in media for response in responses.values() for media in response["content"].values())


@pytest.mark.parametrize("path", ["/admin/keys", "/admin/teams"])
async def test_what_is_created_is_documented(path: str, tmp_path: Path) -> None:
    """A new key and a new team come with 201, and match their schema."""
    async with served(replies("Hello"), state_dir=tmp_path) as gateway:
        document = (await gateway.http.get("/openapi.json")).json()
        created = await gateway.http.post(path, json={"name": "ann"})
    [media] = document["paths"][path]["post"]["responses"][str(created.status_code)]["content"].values()
    assert created.status_code == 201
    jsonschema.validate(created.json(), {**media["schema"], "components": document["components"]})


async def test_index_lists_every_path() -> None:
    """`GET /` lists each path once, without itself and the parts of the dashboard and of `/docs`."""
    async with served(replies("Hello")) as gateway:
        listed = (await gateway.http.get("/")).json()["endpoints"]
    assert len(listed) == len(set(listed))
    paths = {documented_path(route) for route in ROUTES}
    assert {*listed, "/"} == {path for path in paths if not path.startswith(("/dashboard/", "/docs/"))}


def test_routes_are_unique() -> None:
    """No two routes answer the same method and path."""
    pairs = [(route.method, path) for route in ROUTES for path in route.paths]
    assert len(pairs) == len(set(pairs))
