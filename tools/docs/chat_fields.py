"""What a field does: the difference that it makes to the request that goes to Claude, and to what is said of it.

The page itself: one table of what is the same for every model, one by family.
"""

import json
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from dragoman.core.catalog import MODELS, Catalog, Model
from dragoman.core.errors import GatewayError
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.base import DialectOptions
from dragoman.dialects.chat.dialect import ChatDialect
from dragoman.dialects.chat.request import ChatRequest
from dragoman.dialects.shared.errors import status_of
from tools.docs.chat_field_probes import PROBES, Probe

_LONGEST = 48
_PING: JSONObject = {"messages": [{"role": "user", "content": "ping"}]}
_BY_THE_GATEWAY: Mapping[str, str] = {
    "stream": "answered as server-sent events",
    "choices": "so many runs at once, one for each answer",
    "include_usage": "the stream ends with the usage",
    "legacy_functions": "answered as `function_call`",
    "answer_format": "the answer is checked",
    "keeping": "kept, to be asked for later",
    "terms": "an agent works, where the owner allows it",
}
"""What the gateway does itself, by the attribute of the understood request that tells it."""


def effect(probe: Probe, model: Model) -> str:
    """What becomes of a probe, in a line."""
    try:
        after = _decoded(probe, model, {probe.name: probe.value})
    except GatewayError as error:
        return f"{status_of(error).http} `{error.code}`"
    plain = _decoded(probe, model, {})
    before = None if probe.name in ("model", "messages") else plain
    said = [f"`{warning.code}`" for warning in after.warnings if before is None or warning not in before.warnings]
    done = [*_sends(probe, before, after), *_by_the_gateway(plain, after)]
    if said:
        done.append(f"warning {', '.join(dict.fromkeys(said))}")
    return "; ".join(done) or "nothing to do"


def _decoded(probe: Probe, model: Model, field: JSONObject) -> ChatRequest:
    body = {"model": model.id, **_PING, **probe.beside, **field}
    return ChatDialect(Catalog(), DialectOptions(stores_responses=True)).decode(msgspec.json.encode(body))


def _sends(probe: Probe, before: ChatRequest | None, after: ChatRequest) -> Iterator[str]:
    old = dict(_leaves(before.body)) if before else {}
    beside = {"model", "messages"} - {probe.name} if before is None else set()
    new = {key: value for key, value in _leaves(after.body) if key not in beside}
    if changed := [f"`{key}: {_shown(key, value)}`" for key, value in new.items() if old.get(key) != value]:
        yield f"sends {', '.join(changed)}"


def _leaves(value: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """The body's own fields, by path. What clients wrote into schemas stays in one piece."""
    for key, part in value.items():
        if isinstance(part, dict) and key not in ("format", "schema"):
            yield from _leaves(part, f"{prefix}{key}.")
        else:
            yield prefix + key, part


def _shown(key: str, value: object) -> str:
    if key == "messages":
        return ", ".join(f"{turn['role']} [{_kinds(turn['content'])}]" for turn in _objects(value))
    if key == "tools":
        return ", ".join(
            str(tool.get("type") or tool["name"]) + " strict" * ("strict" in tool) for tool in _objects(value)
        )
    if key == "system":
        value = " ".join(str(block["text"]) for block in _objects(value))
    text = json.dumps(value, ensure_ascii=False)
    text = text.replace("`", "'")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _kinds(content: JSON) -> str:
    return ", ".join(
        str(block["type"]) + " + cache_control" * ("cache_control" in block) for block in _objects(content)
    )


def _objects(value: object) -> list[JSONObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _by_the_gateway(before: ChatRequest, after: ChatRequest) -> Iterator[str]:
    for name, words in _BY_THE_GATEWAY.items():
        if getattr(before, name) != getattr(after, name):
            yield words


FAMILIES: Mapping[str, tuple[str, ...]] = {
    "4.5": ("4.5",),
    "4.6 to 4.8": ("4.6", "4.7", "4.8"),
    "5": ("5",),
    "5.5": ("5.5",),
}
"""The columns, and the families of the catalog in each."""

_HEAD = """\
# Fields of a chat request

What becomes of every field of `POST /v1/chat/completions`. This page is written by asking the gateway's own decoder
about each value below, for each model (`make docs`); a test keeps it current.

- *sends* names the fields of the Messages API, with what was sent in them.
- *warning* is a code in the answer's `x-dragoman-warnings` header; the log has the sentence that goes with it.
- 400 and its code are the answer where a request without the field would be answered wrongly.
- *nothing to do* means that the value is what happens anyway.

What the Claude Code runtime then does with the request is in [fidelity.md](fidelity.md), and the switches that turn
warnings into refusals are in [settings.md](settings.md).
"""


def chat_fields_page() -> str:
    """The text of `docs/chat-fields.md`."""
    openai = [probe for probe in PROBES if not probe.own]
    own = [probe for probe in PROBES if probe.own]
    return "\n".join(
        [_HEAD, *_section("OpenAI's fields", openai), *_section("Beside OpenAI's: the gateway's own", own)]
    )


def _section(title: str, probes: Iterable[Probe]) -> Iterator[str]:
    cells = {probe: _cells(probe) for probe in probes}
    alike = {probe: found[0] for probe, found in cells.items() if len(set(found)) == 1}
    yield f"## {title}\n"
    yield "The same for every model:\n"
    yield "| field | value | what happens |"
    yield "|---|---|---|"
    for probe, cell in alike.items():
        yield f"| `{probe.name}` | {_value(probe)} | {cell} |"
    yield "\nBy model family:\n"
    yield f"| field | value | {' | '.join(FAMILIES)} |"
    yield f"|---|---|{'---|' * len(FAMILIES)}"
    for probe, found in cells.items():
        if probe not in alike:
            yield f"| `{probe.name}` | {_value(probe)} | {' | '.join(found)} |"
    yield ""


def _cells(probe: Probe) -> list[str]:
    return [_cell(probe, [model for model in MODELS if model.family in known]) for known in FAMILIES.values()]


def _cell(probe: Probe, models: Iterable[Model]) -> str:
    """What happens on the models of a column, each with its models where they differ."""
    found: dict[str, list[str]] = {}
    for model in models:
        found.setdefault(effect(probe, model), []).append(model.name.removeprefix("Claude "))
    if len(found) == 1:
        return next(iter(found))
    return "<br>".join(f"{', '.join(names)}: {words}" for words, names in found.items())


def _value(probe: Probe) -> str:
    return probe.shown or f"`{msgspec.json.encode(probe.value).decode()}`"
