"""Write `docs/chat-fields.md`: what each field of a chat request does.

The effect of a field is the difference that it makes to the decoded request and to its warnings. A field with the same
effect on every model is a row of one table; any other field is a row of a second table with one column for each family.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from dragoman.core.catalog import MODELS, Catalog, Model
from dragoman.core.errors import GatewayError
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.base import DialectOptions
from dragoman.dialects.chat.dialect import ChatDialect
from dragoman.dialects.chat.request import ChatRequest
from dragoman.dialects.shared.errors import status_of
from tools.docs.chat_field_probes import PROBES, Probe

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "4.5": ("4.5",),
    "4.6 to 4.8": ("4.6", "4.7", "4.8"),
    "5": ("5",),
    "5.5": ("5.5",),
}
"""The columns of the second table, and the model families in each."""

_MAX_VALUE_LENGTH = 48
_PING: JSONObject = {"messages": [{"role": "user", "content": "ping"}]}
_GATEWAY_EFFECTS: tuple[tuple[Callable[[ChatRequest], object], str], ...] = (
    (lambda request: request.stream, "the response is a stream of server-sent events"),
    (lambda request: request.choices, "one run for each choice"),
    (lambda request: request.include_usage, "the stream ends with the usage"),
    (lambda request: request.legacy_functions, "calls are returned as `function_call`"),
    (lambda request: request.output_format, "the response is validated"),
    (lambda request: request.storage, "the response is stored"),
    (lambda request: request.request_options.agent, "an agent runs, if the operator allows it"),
    (lambda request: request.request_options.shaping.stop, "the response ends at text of white space alone"),
)
"""What the gateway does itself, by the part of the decoded request that a field changes."""

_HEAD = """\
# Fields of a chat request

What the gateway does with each field of `POST /v1/chat/completions`. This page is generated: `make docs` runs the
gateway's own decoder with each value below, for each model. A test checks that the page is current.

- *sends* lists the fields of the Messages API that are sent, with their values.
- *warning* is a code in the response header `x-dragoman-warnings`. The log contains the full text.
- *400* and a code mean that the request is refused, because a response without the field would be wrong.
- *no effect* means that the value is the default.

[fidelity.md](fidelity.md) describes what the Claude Code runtime does with the request.
[settings.md](settings.md) lists the settings that turn warnings into errors.
"""


def chat_fields_page() -> str:
    """Return the text of the page."""
    openai = [probe for probe in PROBES if not probe.own]
    own = [probe for probe in PROBES if probe.own]
    return "\n".join([_HEAD, *_section("OpenAI's fields", openai), *_section("The gateway's own fields", own)])


def effect(probe: Probe, model: Model) -> str:
    """Return the effect of a field on one model, in one line."""
    try:
        after = _decode(probe, model, {probe.name: probe.value})
    except GatewayError as error:
        return f"{status_of(error).http} `{error.code}`"
    without = _decode(probe, model, {})
    before = None if probe.name in ("model", "messages") else without
    effects = [
        *_sent_fields(probe, before, after),
        *(text for read, text in _GATEWAY_EFFECTS if read(without) != read(after)),
    ]
    codes = [f"`{warning.code}`" for warning in after.warnings if before is None or warning not in before.warnings]
    if codes:
        effects.append(f"warning {', '.join(dict.fromkeys(codes))}")
    return "; ".join(effects) or "no effect"


def _decode(probe: Probe, model: Model, field: JSONObject) -> ChatRequest:
    body = {"model": model.id, **_PING, **probe.other_fields, **field}
    return ChatDialect(Catalog(), DialectOptions(stores_responses=True)).decode(msgspec.json.encode(body))


def _sent_fields(probe: Probe, before: ChatRequest | None, after: ChatRequest) -> Iterator[str]:
    old = dict(_leaves(before.body)) if before else {}
    skipped = {"model", "messages"} - {probe.name} if before is None else set()
    new = {path: value for path, value in _leaves(after.body) if path not in skipped}
    if changed := [f"`{path}: {_format(path, value)}`" for path, value in new.items() if old.get(path) != value]:
        yield f"sends {', '.join(changed)}"


def _leaves(value: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the fields of a body with their paths. A client's schema counts as one value."""
    for key, part in value.items():
        if isinstance(part, dict) and key not in ("format", "schema"):
            yield from _leaves(part, f"{prefix}{key}.")
        else:
            yield prefix + key, part


def _format(path: str, value: object) -> str:
    if path == "messages":
        return ", ".join(f"{turn['role']} [{_block_types(turn['content'])}]" for turn in _objects(value))
    if path == "tools":
        return ", ".join(
            str(tool.get("type") or tool["name"]) + " strict" * ("strict" in tool) for tool in _objects(value)
        )
    if path == "system":
        value = " ".join(str(block["text"]) for block in _objects(value))
    text = json.dumps(value, ensure_ascii=False).replace("`", "'")
    return text if len(text) <= _MAX_VALUE_LENGTH else f"{text[:_MAX_VALUE_LENGTH]}…"


def _block_types(content: JSON) -> str:
    return ", ".join(
        str(block["type"]) + " + cache_control" * ("cache_control" in block) for block in _objects(content)
    )


def _objects(value: object) -> list[JSONObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _section(title: str, probes: Iterable[Probe]) -> Iterator[str]:
    cells = {probe: _cells(probe) for probe in probes}
    same = {probe: row[0] for probe, row in cells.items() if len(set(row)) == 1}
    yield f"## {title}\n"
    yield "The same for every model:\n"
    yield "| field | value | effect |"
    yield "|---|---|---|"
    for probe, cell in same.items():
        yield f"| `{probe.name}` | {_format_probe(probe)} | {cell} |"
    yield "\nBy model family:\n"
    yield f"| field | value | {' | '.join(FAMILIES)} |"
    yield f"|---|---|{'---|' * len(FAMILIES)}"
    for probe, row in cells.items():
        if probe not in same:
            yield f"| `{probe.name}` | {_format_probe(probe)} | {' | '.join(row)} |"
    yield ""


def _cells(probe: Probe) -> list[str]:
    return [_cell(probe, [model for model in MODELS if model.family in known]) for known in FAMILIES.values()]


def _cell(probe: Probe, models: Iterable[Model]) -> str:
    """Return the effect on the models of one column. If it differs, name the models of each effect."""
    names: dict[str, list[str]] = {}
    for model in models:
        names.setdefault(effect(probe, model), []).append(model.name.removeprefix("Claude "))
    if len(names) == 1:
        return next(iter(names))
    return "<br>".join(f"{', '.join(found)}: {text}" for text, found in names.items())


def _format_probe(probe: Probe) -> str:
    return probe.shown or f"`{msgspec.json.encode(probe.value).decode()}`"
