"""What the OpenAPI document says of kept answers."""

from collections.abc import Mapping
from typing import TypeAlias, cast

from dragoman.core.messages import JSON, JSONObject

_TEXT: JSONObject = {"type": "string"}
_FLAG: JSONObject = {"type": "boolean"}
_NUMBER: JSONObject = {"type": "integer", "minimum": 0}
_TEXTS: JSONObject = {"type": "array", "items": _TEXT}
_LABELS: JSONObject = {"type": "object", "additionalProperties": _TEXT}
_MISSING = "There is none of this id: it was never kept, or is deleted, or too old."

_Parameter: TypeAlias = tuple[str, JSONObject, str]
"""A parameter's name, its schema, and what it does."""

_ID: JSONObject = {"name": "id", "in": "path", "required": True, "schema": _TEXT}
_INCLUDE: _Parameter = ("include", _TEXTS, "What to show beside the rest, such as `reasoning.encrypted_content`.")
_PAGE: tuple[_Parameter, ...] = (
    ("after", _TEXT, "The id behind which the page begins."),
    ("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}, "The most entries."),
    ("order", {"enum": ["asc", "desc"]}, "Oldest first, or newest."),
)
_STREAMED: tuple[_Parameter, ...] = (
    ("stream", _FLAG, "Answer with the events, of a response in the background that was asked for with `stream`."),
    ("starting_after", _NUMBER, "The number of the event behind which they begin."),
)
_CHOSEN: tuple[_Parameter, ...] = (
    ("model", _TEXT, "Only those of this model."),
    ("metadata", _LABELS, "Only those with these labels, as `metadata[key]=value`."),
)


def with_kept(paths: Mapping[str, JSONObject]) -> dict[str, JSONObject]:
    """The paths of the document, with those of kept answers among them."""
    kept: dict[str, JSONObject] = {
        "/v1/responses/{id}": _one(
            get=_does("A kept response as it stands, or its events.", "Response", _INCLUDE, *_STREAMED),
            delete=_does("Delete a kept response; one that is being made is ended.", "Deleted"),
        ),
        "/v1/responses/{id}/cancel": _one(post=_does("End a response in the background.", "Response")),
        "/v1/responses/{id}/input_items": _one(
            get=_does("What the model was given, item by item.", "List", _INCLUDE, *_PAGE)
        ),
        "/v1/responses/input_tokens": {
            "post": _asked("Count a prompt's tokens.", _reference("CreateResponse"), "InputTokens")
        },
        "/v1/responses/compact": {"post": _asked("Sum a conversation up.", _reference("CreateResponse"), "Compaction")},
        "/v1/chat/completions/{id}": _one(
            get=_does("A kept completion.", "ChatCompletion"),
            post=_asked("Change a kept completion's metadata.", _reference("CompletionLabels"), "ChatCompletion"),
            delete=_does("Delete a kept completion.", "Deleted"),
        ),
        "/v1/chat/completions/{id}/messages": _one(get=_does("The messages that it answers.", "List", *_PAGE)),
    }
    listed = {"get": _does("The completions that were made with `store`.", "List", *_CHOSEN, *_PAGE)}
    found: dict[str, JSONObject] = {}
    for path, told in paths.items():
        found[path] = {**told, **listed} if path == "/v1/chat/completions" else told
        found |= {inner: operations for inner, operations in kept.items() if inner.startswith(f"{path}/")}
    return found


def kept_schemas() -> JSONObject:
    """The schemas that they name."""
    return {
        "List": _object(
            object={"const": "list"}, data={"type": "array"}, has_more=_FLAG, first_id=_TEXT, last_id=_TEXT
        ),
        "CompletionLabels": _object(metadata=_LABELS),
        "Deleted": _object(object=_TEXT, id=_TEXT, deleted={"const": True}),
        "InputTokens": _object(object={"const": "response.input_tokens"}, input_tokens=_NUMBER),
        "Compaction": _object(
            id=_TEXT,
            object={"const": "response.compaction"},
            created_at=_NUMBER,
            output={"type": "array"},
            usage={"type": "object"},
        ),
    }


def _one(**operations: JSONObject) -> JSONObject:
    return {**operations, "parameters": [_ID]}


def _does(summary: str, schema: str, *parameters: _Parameter) -> JSONObject:
    asked: list[JSON] = [
        {"name": name, "in": "query", "description": said, "schema": kind} for name, kind, said in parameters
    ]
    shown: JSON = {"application/json": {"schema": _reference(schema)}}
    failed: JSON = {"application/json": {"schema": _reference("Error")}}
    responses: JSONObject = {
        "200": {"description": summary, "content": shown},
        "400": {"description": "It cannot be had; the message says why.", "content": failed},
        "404": {"description": _MISSING, "content": failed},
    }
    return {"summary": summary, "parameters": asked, "responses": responses}


def _asked(summary: str, body: JSONObject, schema: str) -> JSONObject:
    content: JSON = {"application/json": {"schema": body}}
    return {**_does(summary, schema), "requestBody": {"required": True, "content": content}}


def _reference(name: str) -> JSONObject:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(**properties: JSONObject) -> JSONObject:
    return {"type": "object", "properties": cast("JSON", properties), "required": list(properties)}
