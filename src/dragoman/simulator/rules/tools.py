"""Tool definitions and `tool_choice`.

Tool calls and their results: each call answered, and only calls answered.
"""

import re
from collections.abc import Iterator

from dragoman.core.messages import Block, JSONObject
from dragoman.simulator.faults import refuse
from dragoman.simulator.json_values import blocks_of, list_of, object_of, text_of
from dragoman.simulator.request import Call
from dragoman.simulator.rules.messages import placed_blocks

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_SERVER = re.compile(
    r"(?:advisor|bash|browser_toolset|code_execution|computer|computer_toolset|mcp_toolset|memory|text_editor|"
    r"tool_search_tool_bm25|tool_search_tool_regex|web_fetch|web_search)(?:_\d{8})?"
)
_CHOICES = ("auto", "any", "tool", "none")


def definitions(call: Call) -> None:
    """A tool has a name and an object schema, or is one of the provider's own."""
    for place, tool in enumerate(list_of(call.body.get("tools"))):
        if not isinstance(tool, dict):
            raise refuse(f"tools.{place}: Input should be a valid dictionary or object to extract fields from")
        kind = tool.get("type") or "custom"
        if kind == "custom":
            _check_custom(f"tools.{place}.custom", tool)
        elif not _SERVER.fullmatch(text_of(kind)):
            raise refuse(
                f"tools.{place}: Input tag '{kind}' found using 'type' does not match any of the expected tags: "
                "'bash_20250124', 'custom', 'text_editor_20250728', 'web_search_20250305', 'web_search_20260318'"
            )


def unique_names(call: Call) -> None:
    """No two tools of one name."""
    names = [name for tool in call.tools if (name := text_of(tool.get("name")))]
    if len(set(names)) != len(names):
        raise refuse("tools: Tool names must be unique.")


def choice(call: Call) -> None:
    """A choice needs tools, a known name, and a model that may be forced."""
    given = call.body.get("tool_choice")
    if given is None:
        return
    kind = object_of(given).get("type")
    if kind not in _CHOICES:
        raise refuse(
            f"tool_choice: Input tag '{kind}' found using 'type' does not match any of the expected tags: "
            f"{', '.join(repr(tag) for tag in sorted(_CHOICES))}"
        )
    if not call.tools and kind != "none":
        raise refuse("tool_choice may only be specified while providing tools.")
    if kind in ("any", "tool") and not call.model.forced_tools:
        raise refuse(f"tool_choice.type: '{kind}' is not supported on this model. Use 'auto' or 'none'.")
    name = text_of(object_of(given).get("name"))
    if kind == "tool" and name not in {tool.get("name") for tool in call.tools}:
        raise refuse(f"tool_choice: Tool '{name}' not found in provided tools")


def _check_custom(path: str, tool: JSONObject) -> None:
    if tool.get("name") is None:
        raise refuse(f"{path}.name: Field required")
    if not _NAME.fullmatch(text_of(tool["name"])):
        raise refuse(f"{path}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    schema = tool.get("input_schema")
    if schema is None:
        raise refuse(f"{path}.input_schema: Field required")
    if not isinstance(schema, dict):
        raise refuse(f"{path}.input_schema: Input should be a valid dictionary")
    if "type" not in schema:
        raise refuse(f"{path}.input_schema.type: Field required")
    if schema["type"] != "object":
        raise refuse(f"{path}.input_schema.type: Input should be 'object'")


_ID = re.compile(r"[a-zA-Z0-9_-]+")

Turn = tuple[str, list[tuple[int, int, Block]]]
"""A role, and its blocks with the index of their message and their place in it."""


def turns(call: Call) -> list[Turn]:
    """The conversation as the API reads it: messages of one role in a row are one turn; empty ones are none."""
    merged: list[Turn] = []
    for index, message in enumerate(call.messages):
        role = text_of(message["role"])
        blocks = [(index, place, block) for place, block in enumerate(blocks_of(message.get("content")))]
        if blocks and merged and merged[-1][0] == role:
            merged[-1][1].extend(blocks)
        elif blocks:
            merged.append((role, blocks))
    return merged


def unique_ids(call: Call) -> None:
    """Ids of calls are plain words, and no two are the same."""
    seen: set[str] = set()
    for path, _role, block in placed_blocks(call):
        if block["type"] != "tool_use":
            continue
        id_ = text_of(block["id"])
        if not _ID.fullmatch(id_):
            raise refuse(f"{path}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
        if id_ in seen:
            raise refuse(f"{path}: `tool_use` ids must be unique")
        seen.add(id_)
        if not isinstance(block["input"], dict):
            raise refuse(f"{path}.tool_use.input: Input should be a valid dictionary")


def answered(call: Call) -> None:
    """The results of a turn's calls stand at the front of the next turn."""
    merged = turns(call)
    for place, (role, blocks) in enumerate(merged):
        asked = _ids(blocks, "tool_use", "id") if role == "assistant" else {}
        if not asked:
            continue
        following = merged[place + 1][1] if place + 1 < len(merged) else []
        given = _ids(_front(following), "tool_result", "tool_use_id")
        if missing := [id_ for id_ in asked if id_ not in given]:
            index = asked[missing[0]].split(".")[1]
            raise refuse(
                f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                "next message."
            )


def asked(call: Call) -> None:
    """A result answers a call of the turn before, once."""
    before: dict[str, str] = {}
    for role, blocks in turns(call):
        given: set[str] = set()
        for index, place, block in blocks:
            if block["type"] != "tool_result":
                continue
            id_ = text_of(block["tool_use_id"])
            if id_ not in before:
                raise refuse(
                    f"messages.{index}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks: {id_}. "
                    "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
                )
            if id_ in given:
                raise refuse(
                    f"messages.{index}.content.{place}: each tool_use must have a single result. Found multiple "
                    f"`tool_result` blocks with id: {id_}"
                )
            given.add(id_)
        before = _ids(blocks, "tool_use", "id") if role == "assistant" else {}


def _ids(blocks: list[tuple[int, int, Block]], kind: str, key: str) -> dict[str, str]:
    """The ids of the blocks of a kind, and where they stand."""
    return {
        text_of(block[key]): f"messages.{index}.content.{place}"
        for index, place, block in blocks
        if block["type"] == kind
    }


def _front(blocks: list[tuple[int, int, Block]]) -> list[tuple[int, int, Block]]:
    """The results that nothing else stands before."""
    return list(_while_result(blocks))


def _while_result(blocks: list[tuple[int, int, Block]]) -> Iterator[tuple[int, int, Block]]:
    for placed in blocks:
        if placed[2]["type"] != "tool_result":
            return
        yield placed
