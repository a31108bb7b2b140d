"""The form of an endpoint on the page: it sends the request, and copies it as a program."""

import json
from html import escape
from typing import cast

from dragoman.core.messages import JSON, JSONObject

_LANGUAGES = ("curl", "Python", "Node")


def form(method: str, path: str, spec: JSONObject) -> str:
    """Render the form of an operation. The script shows it: without the script it could do nothing.

    Args:
        method: The HTTP method.
        path: The path, with the names of its parts in braces.
        spec: The operation in the OpenAPI document.
    """
    parameters = cast("list[JSONObject]", spec.get("parameters") or [])
    inputs = "".join(map(_input, parameters))
    attributes = f'data-method="{method}" data-path="{escape(path)}"'
    buttons = '<button>Send</button> <button type="button" class="stop" disabled>Stop</button>'
    copies = "".join(f'<button type="button" class="copy" data-as="{name}">{name}</button>' for name in _LANGUAGES)
    actions = f'<p>{buttons} <output></output> <span class="copies">Copy as {copies}</span></p>'
    return f"<form {attributes} hidden>{inputs}{_body(spec)}{actions}<pre hidden></pre></form>"


def _input(parameter: JSONObject) -> str:
    """Render the field of a parameter. Those of the path are required, and those of the query may stay empty."""
    name, where = escape(str(parameter["name"])), escape(str(parameter["in"]))
    required = " required" if parameter.get("required") else ""
    schema = cast("JSONObject", parameter.get("schema") or {})
    kind = " data-map" if schema.get("type") == "object" else ""
    hint = "key=value" if kind else _hint(schema)
    return (
        f'<label>{name} <input name="{name}" data-in="{where}" placeholder="{escape(hint)}" autocomplete="off"'
        f"{kind}{required}></label>"
    )


def _hint(schema: JSONObject) -> str:
    choices = cast("list[JSON]", schema.get("enum") or [])
    return " or ".join(map(str, choices)) or str(schema.get("default", ""))


def _body(spec: JSONObject) -> str:
    """Render the field of the body, with the example."""
    content = cast("dict[str, dict[str, JSONObject]]", spec.get("requestBody") or {}).get("content")
    if not content:
        return ""
    example = json.dumps(content["application/json"].get("example", {}), indent=2, ensure_ascii=False)
    return f'<textarea name="body" spellcheck="false" aria-label="Body">{escape(example)}</textarea>'
