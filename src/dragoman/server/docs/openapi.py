"""The OpenAPI document, from the route table and the types that decode requests."""

import re
from collections.abc import Iterable
from typing import cast

import msgspec
from msgspec import Struct

from dragoman import __version__
from dragoman.core.messages import JSON, JSONObject
from dragoman.server.admin.routes import ADMIN_PREFIX
from dragoman.server.route_spec import Operation, RouteSpec
from dragoman.server.routes import ROUTES

_REF_TEMPLATE = "#/components/schemas/{name}"
_TEXT: JSONObject = {"type": "string"}
_ERRORS = {
    "400": "The request is invalid or cannot be served; `param` names the field.",
    "401": "The gateway key is missing or wrong, or Claude is not signed in (`not_signed_in`).",
    "403": "This host name or web origin may not use the gateway.",
    "404": "There is no such model, path or stored object.",
    "413": "The body is too large.",
    "429": "Too many requests, a full queue, or no quota left at Claude.",
    "500": "An error of the gateway itself.",
    "501": "No embedding model is installed; the message says how to install one.",
    "502": "Claude, or the process that runs it, failed.",
    "503": "Claude is overloaded, or the gateway is stopping.",
    "504": "Claude did not respond in time.",
}
_TAGS = {"chat": "chat completions", "completions": "legacy completions"}
_SECURITY: JSONObject = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}


def describe() -> JSONObject:
    """Return the OpenAPI document."""
    routes = [(route, route.operation) for route in ROUTES if route.operation is not None]
    types = list(dict.fromkeys(kind for _, operation in routes for kind in _types(operation)))
    references, components = msgspec.json.schema_components(types, ref_template=_REF_TEMPLATE)
    by_type = dict(zip(types, cast("Iterable[JSONObject]", references), strict=True))
    paths: dict[str, JSONObject] = {}
    for route, operation in routes:
        path = route.canonical_path.replace(":path", "")
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, operation, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Dragoman",
            "version": __version__,
            "description": "An OpenAI-compatible gateway in front of Claude. Every path also works without `/v1`.",
        },
        "paths": cast("JSON", paths),
        "components": {"schemas": cast("JSON", components), "securitySchemes": _SECURITY},
        "security": [{"bearer": []}, {"key": []}, {}],
    }


def _tag(route: RouteSpec) -> str:
    """Return the group of an endpoint: its first name after `/v1`."""
    if not route.versioned:
        return "admin" if route.path.startswith(ADMIN_PREFIX) else "gateway"
    return _TAGS.get(first := route.path.split("/")[1], first)


def _types(operation: Operation) -> Iterable[type[Struct]]:
    kinds = (operation.request, operation.response, operation.events, operation.error)
    return (kind for kind in kinds if kind is not None)


def _operation(route: RouteSpec, operation: Operation, refs: dict[type[Struct], JSONObject]) -> JSONObject:
    described: JSONObject = {"summary": operation.summary}
    described["tags"] = [_tag(route)]
    if route.public:
        described["security"] = []
    if operation.docs_url:
        described["externalDocs"] = {"url": operation.docs_url}
    if parameters := _parameters(route, operation):
        described["parameters"] = parameters
    if operation.request:
        media: JSONObject = {"schema": refs[operation.request]}
        if operation.example:
            media["example"] = operation.example
        described["requestBody"] = {"required": True, "content": {"application/json": media}}
    described["responses"] = _responses(operation, refs)
    return described


def _parameters(route: RouteSpec, operation: Operation) -> list[JSON]:
    in_path: list[JSON] = [
        {"name": name, "in": "path", "required": True, "schema": _TEXT} for name in re.findall(r"\{(\w+)", route.path)
    ]
    in_query: list[JSON] = [
        {"name": part.name, "in": "query", "description": part.description, "schema": part.schema or _TEXT}
        for part in operation.parameters
    ]
    return in_path + in_query


def _responses(operation: Operation, refs: dict[type[Struct], JSONObject]) -> JSONObject:
    content: JSONObject = {}
    if operation.response:
        content["application/json"] = {"schema": refs[operation.response]}
    else:
        content[operation.media_type] = {"schema": _TEXT}
    if operation.events:
        content["text/event-stream"] = {"schema": refs[operation.events]}
    success = "The response, or with `stream` its events." if operation.events else operation.summary
    error: JSON = {"application/json": {"schema": refs[operation.error]}}
    errors: JSONObject = {status: {"description": _ERRORS[status], "content": error} for status in operation.errors}
    default: JSONObject = {"default": {"description": "The request was refused, or failed.", "content": error}}
    return {operation.status: {"description": success, "content": content}, **(errors or default)}
