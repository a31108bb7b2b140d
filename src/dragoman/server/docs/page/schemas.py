"""JSON schemas as HTML: a table of fields, and each type in words that link to where it is explained."""

import json
from collections.abc import Iterator
from html import escape
from typing import cast

from dragoman.messages import JSON, JSONObject

_NULL: JSONObject = {"type": "null"}
_LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
}


def components(schemas: JSONObject) -> str:
    """Every named schema, each under a heading that others link to."""
    return "".join(_component(name, cast("JSONObject", schema)) for name, schema in sorted(_by_short(schemas)))


def fields(schema: JSONObject) -> str:
    """A table of an object's fields; nothing where none are named."""
    properties = cast("dict[str, JSONObject]", schema.get("properties") or {})
    required = cast("list[str]", schema.get("required") or [])
    rows = "".join(_row(name, field, required=name in required) for name, field in properties.items())
    return f'<table class="fields">{rows}</table>' if rows else ""


def words(schema: JSONObject) -> str:
    """A type, on one line."""
    match schema:
        case {"$ref": str(target)}:
            name = escape(short(target))
            said = [f'<a href="#schema-{name}">{name}</a>']
        case {"anyOf": [*kinds]}:
            said = [words(kind) for kind in cast("list[JSONObject]", kinds) if kind != _NULL]
        case {"enum": [*values]}:
            said = list(map(_code, values))
        case {"const": value}:
            said = [_code(value)]
        case {"type": "array", "items": dict(items)}:
            said = [f"list of {words(items)}"]
        case {"type": [*kinds]}:
            said = [escape(str(kind)) for kind in kinds]
        case _:
            said = [escape(str(schema.get("type", "anything")))]
    return " or ".join(said)


def prose(text: str) -> str:
    """A sentence of the document, with what stands in backquotes as code."""
    return "".join(f"<code>{part}</code>" if odd else part for part, odd in _alternating(escape(text).split("`")))


def _alternating(parts: list[str]) -> Iterator[tuple[str, bool]]:
    return ((part, bool(place % 2)) for place, part in enumerate(parts))


def short(target: str) -> str:
    """A schema's name without where it is kept; those of two dialects keep the dialect's name."""
    *path, name = target.rpartition("/")[2].split(".")
    dialect = next((part for part in path if part.startswith("openai_")), "")
    return f"{dialect.removeprefix('openai_').capitalize()}{name}"


def _by_short(schemas: JSONObject) -> Iterator[tuple[str, JSON]]:
    return ((short(name), schema) for name, schema in schemas.items())


def _component(name: str, schema: JSONObject) -> str:
    told = _text(schema.get("description")) or _only_type(schema)
    return f'<section id="schema-{escape(name)}"><h3>{escape(name)}</h3>{told}{fields(schema)}</section>'


def _only_type(schema: JSONObject) -> str:
    return "" if "properties" in schema else f"<p>{words(schema)}</p>"


def _row(name: str, schema: JSONObject, *, required: bool) -> str:
    mark = ' <span class="required">required</span>' if required else ""
    notes = "".join(f"<p>{note}</p>" for note in _notes(schema))
    kind = f'<span class="type">{words(schema)}</span>'
    return f"<tr><th>{escape(name)}{mark}</th><td>{kind}{notes}{fields(_inner(schema))}</td></tr>"


def _notes(schema: JSONObject) -> Iterator[str]:
    """What stands beside a type, of whichever of its kinds says it."""
    kinds = [schema, *cast("list[JSONObject]", schema.get("anyOf") or [])]
    yield from (prose(str(kind["description"])) for kind in kinds if "description" in kind)
    limits = [form.format(kind[key]) for kind in kinds for key, form in _LIMITS.items() if key in kind]
    if limits:
        yield escape(", ".join(dict.fromkeys(limits)))
    if schema.get("default") is not None:
        yield f"Default: {_code(schema['default'])}"


def _inner(schema: JSONObject) -> JSONObject:
    """The object that a field is, or a list of, where it has no name of its own."""
    items = schema.get("items")
    return items if isinstance(items, dict) else schema


def _text(value: JSON) -> str:
    return f"<p>{prose(value)}</p>" if isinstance(value, str) else ""


def _code(value: JSON) -> str:
    return f"<code>{escape(json.dumps(value))}</code>"
