"""Answers in a form that the prompt describes in words: JSON by a schema in the text, and edits of a file.

Tool calls: forced ones, requested ones, and the runtime's `StructuredOutput`.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import cast

import msgspec

from dragoman.core.messages import Block, JSONObject
from dragoman.simulator.answers.schema import Filler
from dragoman.simulator.answers.text import json_object
from dragoman.simulator.json_values import blocks_of, object_of, plain_text, text_of
from dragoman.simulator.request import Call, Prompt

_WANTS_JSON = re.compile(r"\bJSON\b")
_FENCED = re.compile(r"```json|\bcode ?block", re.IGNORECASE)
_ONLY_JSON = re.compile(r"\b(?:a|one|valid)\s+(?:single\s+|valid\s+)?JSON object\b", re.IGNORECASE)
_PROGRAM = re.compile(r"\bcreate (?P<file>[\w./-]+) that prints ['\"](?P<words>[^'\"\n]+)['\"]", re.IGNORECASE)


def described_json(call: Call, prompt: Prompt) -> list[Block]:
    """JSON that fits the schema in the prompt's own text; any small object where only the system prompt demands one."""
    system = plain_text(call.body.get("system"))
    whole = f"{system}\n{prompt.text}"
    if prompt.results or not _WANTS_JSON.search(whole):
        return []
    if schema := next(_schemas_in(whole), None):
        value = Filler(schema, prompt.quoted(), prompt.numbers()).value()
        text = msgspec.json.encode(value).decode()
    elif _ONLY_JSON.search(system):
        text = json_object(prompt)
    else:
        return []
    return [{"type": "text", "text": f"```json\n{text}\n```" if _FENCED.search(whole) else text}]


def edit(call: Call, prompt: Prompt) -> list[Block]:
    """A new file as a SEARCH/REPLACE block, where the prompt wants edits in that form: `Create F that prints 'X'`."""
    whole = f"{plain_text(call.body.get('system'))}\n{prompt.text}"
    asked = _PROGRAM.search(prompt.text)
    if "SEARCH/REPLACE" not in whole or asked is None:
        return []
    line = f"print({asked['words']!r})"
    lines = (asked["file"], "```python", "<<<<<<< SEARCH", "=======", line, ">>>>>>> REPLACE", "```", "")
    return [{"type": "text", "text": "\n".join(lines)}]


def _schemas_in(text: str) -> Iterator[JSONObject]:
    """The JSON schemas of objects that a text holds."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except json.JSONDecodeError:
            end = start + 1
        else:
            if isinstance(value, dict) and isinstance(value.get("properties"), dict):
                yield value
        start = text.find("{", end)


STRUCTURED = "StructuredOutput"
"""The tool by which the runtime has a schema filled."""

_REACH = 200
"""How many characters may stand between a tool's name and its JSON object."""

_ORDER = re.compile(r"You must answer by calling (?:the tool `(?P<name>[^`]+)`|at least one of the tools)")

_ASKED = re.compile(r"\bwhat(?: is|'s) the (?P<noun>\w+)", re.IGNORECASE)

_USE = r"\b(?:use|using|call|invoke|run)\b[^.\n]{0,60}?"


def forced_calls(call: Call, prompt: Prompt) -> list[Block]:
    """`tool_choice` `tool` or `any`, or an order to call: that tool, or those the prompt names, or the first."""
    choice = object_of(call.body.get("tool_choice"))
    if choice.get("type") in {None, "auto"} and not prompt.results:
        choice = _ordered(call)
    schemas = _schemas(call)
    if choice.get("type") == "tool":
        schemas = {name: schema for name, schema in schemas.items() if name == choice.get("name")}
    elif choice.get("type") != "any":
        return []
    named = _named(schemas, prompt)
    first = [(name, _filled(schema, prompt)) for name, schema in list(schemas.items())[:1]]
    return _calls(call, named or first)


def _ordered(call: Call) -> JSONObject:
    """What the system prompt demands, in the form of `tool_choice`: models that cannot be forced can be told."""
    order = _ORDER.search(plain_text(call.body.get("system")))
    if order is None:
        return {}
    return {"type": "tool", "name": order["name"]} if order["name"] else {"type": "any"}


def requested_calls(call: Call, prompt: Prompt) -> list[Block]:
    """The tools that the prompt names, unless their results are what came last."""
    if prompt.results:
        return []
    return _calls(call, _named(_schemas(call), prompt))


def structured_call(call: Call, prompt: Prompt) -> list[Block]:
    """A call of `StructuredOutput`, unless it was just answered."""
    schema = _schemas(call).get(STRUCTURED)
    if schema is None or _was_structured(call, prompt):
        return []
    return _calls(call, [(STRUCTURED, _filled(schema, prompt))])


def _schemas(call: Call) -> dict[str, JSONObject]:
    """The client tools that may be called: name to input schema."""
    if object_of(call.body.get("tool_choice")).get("type") == "none":
        return {}
    return {text_of(t.get("name")): object_of(t.get("input_schema")) for t in call.tools if "input_schema" in t}


def _named(schemas: dict[str, JSONObject], prompt: Prompt) -> list[tuple[str, JSONObject]]:
    """The tools that the prompt names with a JSON object; else the first that it says to use, or asks for."""
    if not schemas:
        return []
    names = "|".join(re.escape(name) for name in sorted(schemas, key=len, reverse=True))
    mentions = list(re.finditer(rf"(?<![\w-])(?:{names})(?![\w-])", prompt.text))
    ends = [*(mention.start() for mention in mentions[1:]), len(prompt.text)]
    found = [
        (mention[0], input_)
        for mention, end in zip(mentions, ends, strict=False)
        if (input_ := _object_in(prompt.text[mention.end() : end])) is not None
    ]
    if found:
        return found
    used = re.search(rf"{_USE}(?<![\w-])(?P<name>{names})(?![\w-])", prompt.text, re.IGNORECASE)
    asked = _ASKED.search(prompt.text)
    name = used["name"] if used else f"get_{asked['noun'].lower()}" if asked else None
    return [(name, _filled(schemas[name], prompt))] if name in schemas else []


def _object_in(text: str) -> JSONObject | None:
    """The JSON object that begins near the start of a text."""
    start = text.find("{", 0, _REACH)
    if start < 0:
        return None
    try:
        value, _end = json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError:
        return None
    return cast("JSONObject", value)


def _filled(schema: JSONObject, prompt: Prompt) -> JSONObject:
    return object_of(Filler(schema, prompt.quoted(), prompt.numbers()).value())


def _calls(call: Call, wanted: list[tuple[str, JSONObject]]) -> list[Block]:
    if object_of(call.body.get("tool_choice")).get("disable_parallel_tool_use") is True:
        wanted = wanted[:1]
    return [
        {"type": "tool_use", "id": _id(call, place), "name": name, "input": input_}
        for place, (name, input_) in enumerate(wanted)
    ]


def _id(call: Call, place: int) -> str:
    """An id that is the same for the same conversation, and new for each turn and place in it."""
    digest = hashlib.sha256(f"{len(call.messages)}/{place}/{call.messages!r}".encode())
    return f"toolu_01{digest.hexdigest()[:22]}"


def _was_structured(call: Call, prompt: Prompt) -> bool:
    return any(
        block.get("name") == STRUCTURED and text_of(block.get("id")) in prompt.answered
        for message in call.messages
        for block in blocks_of(message.get("content"))
    )
