"""Rules of tools: definitions, `tool_choice`, and that every call has one result."""

import re
from collections.abc import Iterable, Mapping
from itertools import takewhile
from types import MappingProxyType
from typing import NamedTuple

from dragoman.core.messages import JSONObject
from dragoman.simulator.errors import invalid_request
from dragoman.simulator.json_values import list_of, text_of
from dragoman.simulator.request import ApiRequest
from dragoman.simulator.rules.blocks import LocatedBlock, locate_blocks

_NAME = "[a-zA-Z0-9_-]{1,128}"
_CALL_ID = "[a-zA-Z0-9_-]+"
_SERVER_CALL_ID = "srvtoolu_[a-zA-Z0-9_]+"
_CALL_FIELDS: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "server_tool_use": (("id", _SERVER_CALL_ID),),
        "tool_result": (("tool_use_id", _CALL_ID),),
        "tool_use": (("id", _CALL_ID), ("name", _NAME)),
    }
)
"""The fields of blocks that have a pattern."""

_WITH_INPUT = frozenset({"mcp_tool_use", "server_tool_use", "tool_use"})
_SERVER_TOOL = re.compile(
    r"(?:advisor|bash|browser_toolset|code_execution|computer|computer_toolset|mcp_toolset|memory|text_editor|"
    r"tool_search_tool_bm25|tool_search_tool_regex|web_fetch|web_search)(?:_\d{8})?"
)
_CHOICE_TYPES = ("auto", "any", "tool", "none")


class Turn(NamedTuple):
    """Consecutive messages of one role, which the API reads as one message.

    Attributes:
        role: The role.
        blocks: The blocks of its messages.
    """

    role: str
    blocks: list[LocatedBlock]


def merge_turns(request: ApiRequest) -> list[Turn]:
    """Return the conversation as the API reads it. Messages without blocks are left out."""
    turns: list[Turn] = []
    for located in locate_blocks(request):
        if not turns or turns[-1].role != located.role:
            turns.append(Turn(located.role, []))
        turns[-1].blocks.append(located)
    return turns


def call_fields(request: ApiRequest) -> None:
    """Ids and names have allowed characters, and the input of a call is an object."""
    for located in locate_blocks(request):
        kind = text_of(located.block["type"])
        for field, pattern in _CALL_FIELDS.get(kind, ()):
            value = located.block[field]
            path = f"{located.path}.{kind}.{field}"
            if not isinstance(value, str):
                raise invalid_request(f"{path}: Input should be a valid string")
            if not re.fullmatch(pattern, value):
                raise invalid_request(f"{path}: String should match pattern '^{pattern}$'")
        if kind in _WITH_INPUT and not isinstance(located.block["input"], dict):
            raise invalid_request(f"{located.path}.{kind}.input: Input should be a valid dictionary")


def unique_call_ids(request: ApiRequest) -> None:
    """Ids of calls are unique."""
    seen: set[str] = set()
    for located in locate_blocks(request):
        if located.block["type"] != "tool_use":
            continue
        id_ = text_of(located.block["id"])
        if id_ in seen:
            raise invalid_request(f"{located.path}: `tool_use` ids must be unique")
        seen.add(id_)


def calls_have_results(request: ApiRequest) -> None:
    """The next turn begins with the results of a turn's calls."""
    turns = merge_turns(request)
    for index, turn in enumerate(turns):
        calls = _call_ids(turn)
        if not calls:
            continue
        following = turns[index + 1].blocks if index + 1 < len(turns) else []
        first_results = takewhile(lambda located: located.block["type"] == "tool_result", following)
        result_ids = {text_of(located.block["tool_use_id"]) for located in first_results}
        if missing := [id_ for id_ in calls if id_ not in result_ids]:
            raise invalid_request(
                f"messages.{calls[missing[0]].message_index}: `tool_use` ids were found without `tool_result` blocks "
                f"immediately after: {', '.join(missing)}. Each `tool_use` block must have a corresponding "
                "`tool_result` block in the next message."
            )


def results_have_calls(request: ApiRequest) -> None:
    """A result belongs to a call of the turn before, and each call has one result."""
    calls: Iterable[str] = ()
    for turn in merge_turns(request):
        result_ids: set[str] = set()
        for located in turn.blocks:
            if located.block["type"] != "tool_result":
                continue
            id_ = text_of(located.block["tool_use_id"])
            if id_ not in calls:
                raise invalid_request(
                    f"{located.path}: unexpected `tool_use_id` found in `tool_result` blocks: {id_}. Each "
                    "`tool_result` block must have a corresponding `tool_use` block in the previous message."
                )
            if id_ in result_ids:
                raise invalid_request(
                    f"{located.path}: each tool_use must have a single result. Found multiple `tool_result` blocks "
                    f"with id: {id_}"
                )
            result_ids.add(id_)
        calls = _call_ids(turn)


def definitions(request: ApiRequest) -> None:
    """A tool has a name and an object schema, or is one of the provider's own."""
    for index, tool in enumerate(list_of(request.body.get("tools"))):
        if not isinstance(tool, dict):
            raise invalid_request(f"tools.{index}: Input should be a valid dictionary or object to extract fields from")
        kind = tool.get("type") or "custom"
        if kind == "custom":
            _check_custom_tool(f"tools.{index}.custom", tool)
        elif not _SERVER_TOOL.fullmatch(text_of(kind)):
            raise invalid_request(
                f"tools.{index}: Input tag '{kind}' found using 'type' does not match any of the expected tags: "
                "'bash_20250124', 'custom', 'text_editor_20250728', 'web_search_20250305', 'web_search_20260318'"
            )


def unique_names(request: ApiRequest) -> None:
    """No two tools have the same name."""
    names = [name for tool in request.tools if (name := text_of(tool.get("name")))]
    if len(set(names)) != len(names):
        raise invalid_request("tools: Tool names must be unique.")


def choice(request: ApiRequest) -> None:
    """`tool_choice` needs tools, a known tool, and a model that supports forced tools."""
    if request.body.get("tool_choice") is None:
        return
    kind = request.tool_choice.get("type")
    if kind not in _CHOICE_TYPES:
        raise invalid_request(
            f"tool_choice: Input tag '{kind}' found using 'type' does not match any of the expected tags: "
            f"{', '.join(repr(tag) for tag in sorted(_CHOICE_TYPES))}"
        )
    if not request.tools and kind != "none":
        raise invalid_request("tool_choice may only be specified while providing tools.")
    if kind in ("any", "tool") and not request.model.forced_tools:
        raise invalid_request(f"tool_choice.type: '{kind}' is not supported on this model. Use 'auto' or 'none'.")
    name = text_of(request.tool_choice.get("name"))
    if kind == "tool" and name not in {tool.get("name") for tool in request.tools}:
        raise invalid_request(f"tool_choice: Tool '{name}' not found in provided tools")


def _call_ids(turn: Turn) -> dict[str, LocatedBlock]:
    """Return the calls of an assistant's turn by id."""
    if turn.role != "assistant":
        return {}
    return {text_of(located.block["id"]): located for located in turn.blocks if located.block["type"] == "tool_use"}


def _check_custom_tool(path: str, tool: JSONObject) -> None:
    if tool.get("name") is None:
        raise invalid_request(f"{path}.name: Field required")
    if not re.fullmatch(_NAME, text_of(tool["name"])):
        raise invalid_request(f"{path}.name: String should match pattern '^{_NAME}$'")
    schema = tool.get("input_schema")
    if schema is None:
        raise invalid_request(f"{path}.input_schema: Field required")
    if not isinstance(schema, dict):
        raise invalid_request(f"{path}.input_schema: Input should be a valid dictionary")
    if "type" not in schema:
        raise invalid_request(f"{path}.input_schema.type: Field required")
    if schema["type"] != "object":
        raise invalid_request(f"{path}.input_schema.type: Input should be 'object'")
