"""Tool calls: forced ones, requested ones, and the runtime's `StructuredOutput`."""

import hashlib
import json
import re
from typing import cast

from dragoman.core.messages import Block, JSONObject
from dragoman.simulator.answers.formats import new_file_patch
from dragoman.simulator.answers.schema import value_for_schema
from dragoman.simulator.json_values import blocks_of, object_of, plain_text, text_of
from dragoman.simulator.request import ApiRequest, Prompt

_STRUCTURED_OUTPUT = "StructuredOutput"
"""The tool with which the runtime asks for structured output."""

_MAX_INPUT_DISTANCE = 200
"""The maximum number of characters between a tool's name and its JSON object."""

_DEMAND = re.compile(r"You must answer by calling (?:the tool `(?P<name>[^`]+)`|at least one of the tools)")
_QUESTION = re.compile(r"\bwhat(?: is|'s) the (?P<noun>\w+)", re.IGNORECASE)
_IN_SEQUENCE = re.compile(r"\b(?:then|after that|afterwards)\b", re.IGNORECASE)
_PATCH_TOOL = "apply_patch"
"""The tool of coding agents that takes a patch in a form of its own."""

_USE = r"(?<!\bnot )(?<!n't )(?<!\bnever )\b(?:use|using|call|invoke|run)\b[^.\n]{0,60}?"


def forced_calls(request: ApiRequest, prompt: Prompt) -> list[Block]:
    """Call the forced tool, the tools that the prompt names, or the first one, if a call is forced or demanded."""
    choice = request.tool_choice
    if choice.get("type") in {None, "auto"} and not prompt.results:
        choice = _demanded_choice(request)
    schemas = _schemas(request)
    if choice.get("type") == "tool":
        schemas = {name: schema for name, schema in schemas.items() if name == choice.get("name")}
    elif choice.get("type") != "any":
        return []
    first = [(name, _build_input(name, schema, prompt)) for name, schema in list(schemas.items())[:1]]
    return _call_blocks(request, _named_calls(schemas, prompt) or first)


def requested_calls(request: ApiRequest, prompt: Prompt) -> list[Block]:
    """Call the tools that the prompt names: one after the other if it says so, else all at once and only once."""
    calls = _named_calls(_schemas(request), prompt)
    if len(calls) > 1 and _IN_SEQUENCE.search(prompt.text):
        return _call_blocks(request, calls[prompt.rounds : prompt.rounds + 1])
    return [] if prompt.results else _call_blocks(request, calls)


def structured_call(request: ApiRequest, prompt: Prompt) -> list[Block]:
    """Call `StructuredOutput`, unless the conversation ends in its result."""
    schema = _schemas(request).get(_STRUCTURED_OUTPUT)
    if schema is None or _has_structured_result(request, prompt):
        return []
    return _call_blocks(request, [(_STRUCTURED_OUTPUT, _build_input(_STRUCTURED_OUTPUT, schema, prompt))])


def _demanded_choice(request: ApiRequest) -> JSONObject:
    """Return the system prompt's demand as a `tool_choice`, for models without forced tools; empty if none."""
    demand = _DEMAND.search(plain_text(request.body.get("system")))
    if demand is None:
        return {}
    return {"type": "tool", "name": demand["name"]} if demand["name"] else {"type": "any"}


def _schemas(request: ApiRequest) -> dict[str, JSONObject]:
    """Return the input schemas of the client's tools that can be called, by name."""
    if request.tool_choice.get("type") == "none":
        return {}
    return {text_of(t.get("name")): object_of(t.get("input_schema")) for t in request.tools if "input_schema" in t}


def _named_calls(schemas: dict[str, JSONObject], prompt: Prompt) -> list[tuple[str, JSONObject]]:
    """Return name and input of the tools named with a JSON object, else of those to use in a sequence, else of one."""
    if not schemas:
        return []
    names = "|".join(re.escape(name) for name in sorted(schemas, key=len, reverse=True))
    mentions = list(re.finditer(rf"(?<![\w-])(?:{names})(?![\w-])", prompt.text))
    ends = [*(mention.start() for mention in mentions[1:]), len(prompt.text)]
    with_input = [
        (mention[0], input_)
        for mention, end in zip(mentions, ends, strict=False)
        if (input_ := _leading_object(prompt.text[mention.end() : end])) is not None
    ]
    if with_input:
        return with_input
    uses = [
        use["name"] for use in re.finditer(rf"{_USE}(?<![\w-])(?P<name>{names})(?![\w-])", prompt.text, re.IGNORECASE)
    ]
    if len(uses) > 1 and _IN_SEQUENCE.search(prompt.text):
        return [(name, _build_input(name, schemas[name], prompt)) for name in uses if name in schemas]
    use = re.search(rf"{_USE}(?<![\w-])(?P<name>{names})(?![\w-])", prompt.text, re.IGNORECASE)
    question = _QUESTION.search(prompt.text)
    name = use["name"] if use else f"get_{question['noun'].lower()}" if question else None
    return [(name, _build_input(name, schemas[name], prompt))] if name in schemas else []


def _leading_object(text: str) -> JSONObject | None:
    """Return the JSON object that begins near the start of a text."""
    start = text.find("{", 0, _MAX_INPUT_DISTANCE)
    if start < 0:
        return None
    try:
        value, _end = json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError:
        return None
    return cast("JSONObject", value)


def _build_input(name: str, schema: JSONObject, prompt: Prompt) -> JSONObject:
    built = object_of(value_for_schema(schema, prompt))
    if name.endswith(_PATCH_TOOL):
        texts = [field for field, value in built.items() if isinstance(value, str)]
        built |= dict.fromkeys(texts[:1], new_file_patch(prompt))
    return built


def _call_blocks(request: ApiRequest, calls: list[tuple[str, JSONObject]]) -> list[Block]:
    if request.tool_choice.get("disable_parallel_tool_use") is True:
        calls = calls[:1]
    return [
        {"type": "tool_use", "id": _call_id(request, index), "name": name, "input": input_}
        for index, (name, input_) in enumerate(calls)
    ]


def _call_id(request: ApiRequest, index: int) -> str:
    """Return an id that is the same for the same conversation and index, and differs for every other."""
    digest = hashlib.sha256(f"{len(request.messages)}/{index}/{request.messages!r}".encode())
    return f"toolu_01{digest.hexdigest()[:22]}"


def _has_structured_result(request: ApiRequest, prompt: Prompt) -> bool:
    return any(
        block.get("name") == _STRUCTURED_OUTPUT and text_of(block.get("id")) in prompt.answered_ids
        for message in request.messages
        for block in blocks_of(message.get("content"))
    )
