"""The admin API's part of the OpenAPI document."""

from typing import cast

from dragoman.core.messages import JSON, JSONObject

_TEXT: JSONObject = {"type": "string"}
_NULLABLE_TEXT: JSONObject = {"type": ["string", "null"]}
_NULLABLE_NUMBER: JSONObject = {"type": ["number", "null"]}
_STATUS: JSONObject = {"enum": ["queued", "running", "succeeded", "failed", "cancelled"]}
_ID: JSONObject = {"name": "id", "in": "path", "required": True, "schema": _TEXT}
_FILTERS = {
    "status": "Of these statuses, with commas between them.",
    "model": "Of models whose id holds this.",
    "client": "Of this client.",
    "since": "From then on: `15m`, `2h`, `7d`, a time in ISO 8601, or seconds since 1970.",
    "after": "Behind the run of this id: the next page.",
    "limit": "At most so many, 1 to 500.",
}
_RUN: JSONObject = {
    "type": "object",
    "properties": {
        "id": _TEXT,
        "request_id": _NULLABLE_TEXT,
        "status": _STATUS,
        "model": _TEXT,
        "path": _NULLABLE_TEXT,
        "upstream": _NULLABLE_TEXT,
        "client": _TEXT,
        "endpoint": _NULLABLE_TEXT,
        "created": {"type": "number"},
        "ended": _NULLABLE_NUMBER,
        "stages": {"type": "object", "additionalProperties": {"type": "number"}},
        "usage": {"type": ["object", "null"]},
        "cost": _NULLABLE_NUMBER,
        "error": _NULLABLE_TEXT,
        "reason": _NULLABLE_TEXT,
    },
}
_ERROR: JSONObject = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"code": _TEXT, "message": _TEXT, "param": _NULLABLE_TEXT, "request_id": _TEXT},
        }
    },
}
_RUNS: JSONObject = {
    "type": "object",
    "properties": {
        "runs": {"type": "array", "items": {"$ref": "#/components/schemas/Run"}},
        "more": {"type": "boolean"},
    },
}

_WHOLE: JSONObject = {
    "type": "object",
    "properties": {
        "status": {"enum": ["ready", "not_ready"]},
        "reason": _NULLABLE_TEXT,
        "version": _TEXT,
        "python": _TEXT,
        "pid": {"type": "integer"},
        "uptime": {"type": "number"},
        "runs": {"type": "object", "additionalProperties": {"type": "integer"}},
        "last": {"type": "object"},
        "simulator": _NULLABLE_TEXT,
        "backend": {"type": "object"},
    },
}

SCHEMAS: JSONObject = {"Status": _WHOLE, "Run": _RUN, "RunList": _RUNS, "AdminError": _ERROR}


def admin_paths() -> JSONObject:
    """Its paths."""
    filters = [{"name": name, "in": "query", "description": told, "schema": _TEXT} for name, told in _FILTERS.items()]
    return {
        "/admin/status": {"get": _asks("How the gateway does.", "Status", [])},
        "/admin/runs": {"get": _asks("Runs, the newest first.", "RunList", cast("JSON", filters))},
        "/admin/runs/{id}": {"get": _asks("One run.", "Run", [_ID])},
        "/admin/runs/{id}/events": {"get": _asks("A run's events as they come.", None, [_ID])},
        "/admin/runs/{id}/cancel": {"post": _asks("End a run.", "Run", [_ID])},
    }


def _asks(summary: str, answer: str | None, parameters: JSON) -> JSONObject:
    told: JSONObject = (
        {"application/json": {"schema": {"$ref": f"#/components/schemas/{answer}"}}}
        if answer
        else {"text/event-stream": {"schema": _TEXT}}
    )
    error: JSON = {"application/json": {"schema": {"$ref": "#/components/schemas/AdminError"}}}
    return {
        "summary": summary,
        "tags": ["admin"],
        "parameters": parameters,
        "responses": {
            "200": {"description": summary, "content": told},
            "default": {"description": "Refused.", "content": error},
        },
    }
