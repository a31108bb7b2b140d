"""What a field does: the difference that it makes to the request that goes to Claude, and to what is said of it."""

import json
from collections.abc import Iterator, Mapping

import msgspec

from dragoman.catalog import Catalog, Model
from dragoman.cli.pages.fields.probes import Probe
from dragoman.errors import GatewayError
from dragoman.messages import JSON, JSONObject
from dragoman.wire.openai_chat import ChatRequest, OpenAIChat
from dragoman.wire.options import WireOptions
from dragoman.wire.statuses import status_of

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
    said = [f"`{notice.code}`" for notice in after.notices if before is None or notice not in before.notices]
    done = [*_sends(probe, before, after), *_by_the_gateway(plain, after)]
    if said:
        done.append(f"warning {', '.join(dict.fromkeys(said))}")
    return "; ".join(done) or "nothing to do"


def _decoded(probe: Probe, model: Model, field: JSONObject) -> ChatRequest:
    body = {"model": model.id, **_PING, **probe.beside, **field}
    return OpenAIChat(Catalog(), WireOptions(keeps=True)).decode(msgspec.json.encode(body))


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
