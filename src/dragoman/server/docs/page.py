"""The OpenAPI document as one HTML page, with its style and its script inside: it loads nothing."""

import base64
import hashlib
import json
from collections.abc import Iterator
from html import escape
from importlib import resources
from typing import cast

from dragoman.core.messages import JSON, JSONObject
from dragoman.core.value_object import value_object
from dragoman.server.docs.form import form

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
    """Render every named schema, each under a heading that others link to."""
    return "".join(_component(name, cast("JSONObject", schema)) for name, schema in sorted(_by_short_name(schemas)))


def fields(schema: JSONObject) -> str:
    """Render a table of an object's fields; nothing when no field is named."""
    properties = cast("dict[str, JSONObject]", schema.get("properties") or {})
    required = cast("list[str]", schema.get("required") or [])
    rows = "".join(_row(name, field, required=name in required) for name, field in properties.items())
    return f'<table class="fields">{rows}</table>' if rows else ""


def type_text(schema: JSONObject) -> str:
    """Render a type in words, on one line."""
    match schema:
        case {"$ref": str(target)}:
            name = escape(short(target))
            text = [f'<a href="#schema-{name}">{name}</a>']
        case {"anyOf": [*kinds]}:
            text = [type_text(kind) for kind in cast("list[JSONObject]", kinds) if kind != _NULL]
        case {"enum": [*values]}:
            text = list(map(_code, values))
        case {"const": value}:
            text = [_code(value)]
        case {"type": "array", "items": dict(items)}:
            text = [f"list of {type_text(items)}"]
        case {"type": [*kinds]}:
            text = [escape(str(kind)) for kind in kinds]
        case _:
            text = [escape(str(schema.get("type", "anything")))]
    return " or ".join(text)


def prose(text: str) -> str:
    """Render a sentence of the document, with the text in backquotes as code."""
    return "".join(f"<code>{part}</code>" if odd else part for part, odd in _alternating(escape(text).split("`")))


def _alternating(parts: list[str]) -> Iterator[tuple[str, bool]]:
    return ((part, bool(index % 2)) for index, part in enumerate(parts))


def short(target: str) -> str:
    """Return a schema's name without its package. Names that several dialects use get the dialect's name in front."""
    *package, name = target.rpartition("/")[2].split(".")
    dialect = package[package.index("dialects") + 1] if "dialects" in package else ""
    return f"{dialect.capitalize()}{name}"


def _by_short_name(schemas: JSONObject) -> Iterator[tuple[str, JSON]]:
    return ((short(name), schema) for name, schema in schemas.items())


def _component(name: str, schema: JSONObject) -> str:
    described = _text(schema.get("description")) or _only_type(schema)
    heading = f"<summary><h3>{escape(name)}</h3></summary>"
    return f'<section id="schema-{escape(name)}"><details>{heading}{described}{fields(schema)}</details></section>'


def _only_type(schema: JSONObject) -> str:
    return "" if "properties" in schema else f"<p>{type_text(schema)}</p>"


def _row(name: str, schema: JSONObject, *, required: bool) -> str:
    required_mark = ' <span class="required">required</span>' if required else ""
    notes = "".join(f"<p>{note}</p>" for note in _notes(schema))
    type_span = f'<span class="type">{type_text(schema)}</span>'
    return f"<tr><th>{escape(name)}{required_mark}</th><td>{type_span}{notes}{fields(_inner(schema))}</td></tr>"


def _notes(schema: JSONObject) -> Iterator[str]:
    """Return descriptions, limits and default of a field, from whichever of its types has them."""
    kinds = [schema, *cast("list[JSONObject]", schema.get("anyOf") or [])]
    yield from (prose(str(kind["description"])) for kind in kinds if "description" in kind)
    limits = [form.format(kind[key]) for kind in kinds for key, form in _LIMITS.items() if key in kind]
    if limits:
        yield escape(", ".join(dict.fromkeys(limits)))
    if schema.get("default") is not None:
        yield f"Default: {_code(schema['default'])}"


def _inner(schema: JSONObject) -> JSONObject:
    """Return the unnamed object that a field is, or is a list of."""
    items = schema.get("items")
    return items if isinstance(items, dict) else schema


def _text(value: JSON) -> str:
    return f"<p>{prose(value)}</p>" if isinstance(value, str) else ""


def _code(value: JSON) -> str:
    return f"<code>{escape(json.dumps(value))}</code>"


@value_object
class Page:
    """A page and its content security policy.

    Attributes:
        html: The page.
        policy: Allows only its own style and script, and requests to its own origin.
    """

    html: str
    policy: str


@value_object
class _Operation:
    method: str
    path: str
    spec: JSONObject

    @property
    def group(self) -> str:
        """The heading in the menu."""
        return str(next(iter(cast("list[str]", self.spec.get("tags") or [])), "other"))

    @property
    def anchor(self) -> str:
        suffix = self.path.replace("{", "").replace("}", "").replace("/", "-")
        return f"{self.method}{suffix}"


def render_page(document: JSONObject, *, reading: bool = False) -> Page:
    """Render an OpenAPI document.

    Args:
        document: The document.
        reading: Whether to leave the forms out, and to show all fields.
    """
    style, script = _part("page.css"), _part("page.js")
    info = cast("dict[str, str]", document["info"])
    operations = list(_operations(document))
    schemas = cast("dict[str, JSONObject]", document["components"])["schemas"]
    html = _part("page.html").format(
        title=escape(info["title"]),
        version=escape(info["version"]),
        about=prose(info["description"]),
        links=_links(operations),
        operations="".join(_section(part, schemas, reading=reading) for part in operations),
        view="reading" if reading else "forms",
        other="docs" if reading else "redoc",
        other_name="With forms" if reading else "Reading view",
        schemas=components(schemas),
        style=style,
        script=script,
    )
    return Page(html, _policy(style, script))


def _operations(document: JSONObject) -> Iterator[_Operation]:
    for path, methods in cast("dict[str, JSONObject]", document["paths"]).items():
        for method, spec in methods.items():
            if isinstance(spec, dict) and "responses" in spec:
                yield _Operation(method, path, spec)


def _links(operations: list[_Operation]) -> str:
    groups: dict[str, list[str]] = {}
    for part in operations:
        row = f'<li><a href="#{part.anchor}">{_name(part)}</a></li>'
        groups.setdefault(part.group, []).append(row)
    return "".join(
        f"<details open><summary>{escape(group)}</summary><ul>{''.join(rows)}</ul></details>"
        for group, rows in groups.items()
    )


def _name(operation: _Operation) -> str:
    return f'<b class="{operation.method}">{operation.method}</b> {escape(operation.path)}'


def _section(operation: _Operation, schemas: JSONObject, *, reading: bool) -> str:
    spec = operation.spec
    summary = f"<p>{prose(str(spec.get('summary', '')))}{_docs_link(spec)}</p>"
    return (
        f'<section id="{operation.anchor}" data-group="{escape(operation.group)}"><h2>{_name(operation)}</h2>{summary}'
        f"{_parameters(spec)}{_request(spec, schemas, is_open=reading)}{_responses(spec)}"
        f"{'' if reading else form(operation.method, operation.path, spec)}</section>"
    )


def _docs_link(spec: JSONObject) -> str:
    docs = cast("dict[str, str]", spec.get("externalDocs") or {})
    return f' <a href="{escape(docs["url"])}" rel="noreferrer">Its own documentation</a>' if docs else ""


def _parameters(spec: JSONObject) -> str:
    """Render what the path and the query take."""
    rows = []
    for part in cast("list[JSONObject]", spec.get("parameters") or []):
        notes = f"<p>{prose(str(part['description']))}</p>" if "description" in part else ""
        kind = f'<span class="type">in the {part["in"]}</span>'
        rows.append(f"<tr><th>{escape(str(part['name']))}</th><td>{kind}{notes}</td></tr>")
    return f'<table class="fields">{"".join(rows)}</table>' if rows else ""


def _request(spec: JSONObject, schemas: JSONObject, *, is_open: bool) -> str:
    """Render the fields of the request body."""
    content = cast("dict[str, dict[str, dict[str, JSONObject]]]", spec.get("requestBody") or {}).get("content", {})
    sections = []
    for part in content.values():
        name = str(part["schema"]["$ref"]).rpartition("/")[2]
        summary = f"<summary>Fields of the {type_text(part['schema'])}</summary>"
        state = " open" if is_open else ""
        sections.append(f"<details{state}>{summary}{fields(cast('JSONObject', schemas[name]))}</details>")
    return "".join(sections)


def _responses(spec: JSONObject) -> str:
    rows = []
    for status, response in cast("dict[str, JSONObject]", spec["responses"]).items():
        kinds = "".join(f'<p class="type">{text}, as {media_type}</p>' for media_type, text in _content(response))
        rows.append(f"<tr><th>{status}</th><td>{prose(str(response['description']))}{kinds}</td></tr>")
    return f"<details><summary>Responses</summary><table>{''.join(rows)}</table></details>"


def _content(body: object) -> Iterator[tuple[str, str]]:
    """Return each media type of a body, and the text of its schema."""
    content = body.get("content", {}) if isinstance(body, dict) else {}
    return ((escape(media_type), type_text(part["schema"])) for media_type, part in content.items())


def _part(name: str) -> str:
    return resources.files(__package__).joinpath("assets", name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Return a policy that allows only the page's own style and script, and requests to this gateway."""
    rules = (
        "default-src 'none'",
        f"style-src '{_hash(style)}'",
        f"script-src '{_hash(script)}'",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return "; ".join(rules)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
