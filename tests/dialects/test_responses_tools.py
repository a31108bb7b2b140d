"""Tools that are no plain functions: namespaces, searches for tools, and tools that the client runs."""

import json
from typing import Any, cast

import pytest
from chat_support import script
from responses_spec import assert_event
from responses_support import PATCH, WEATHER, decode, decode_error, dialect, parse_events, plain, streamed, warnings

from dragoman.core.accumulate import accumulate
from dragoman.core.messages import JSON, JSONObject

ECHO: JSONObject = {"type": "function", "name": "echo_it", "parameters": {"type": "object", "properties": {}}}
DEMO: JSONObject = {"type": "namespace", "name": "mcp__demo", "description": "Demo tools.", "tools": [ECHO, PATCH]}
LOOK: JSONObject = {"role": "user", "content": "?"}


def names(*tools: JSON) -> list[Any]:
    """Return the names that Claude gets for tools."""
    return [tool["name"] for tool in decode(tools=list(tools)).body["tools"]]


def called(tools: list[JSON], name: str, arguments: JSONObject) -> Any:
    """Return the item of a call, plain; check that the streamed one is the same."""
    block: JSONObject = {"type": "tool_use", "id": "toolu_1", "name": name, "input": arguments}
    request = decode(tools=tools, stream=True)
    [item] = plain(request, [block], "tool_use")["output"]
    events = parse_events(streamed(request, script([block], "tool_use")))
    for event in events:
        assert_event(event)
    assert events[-1]["response"]["output"] == [item]
    assert events[2]["item"] == {**item, **{key: events[2]["item"][key] for key in _LATE if key in item}}
    return item


_LATE = ("status", "arguments", "input", "action", "operation")
"""The fields of a call that are known at its end."""


def test_tools_of_a_namespace_are_offered_and_called() -> None:
    """Claude gets them under one flat name each; the client gets both names back."""
    request = decode(tools=[WEATHER, DEMO])
    weather, echo, patch = request.body["tools"]
    assert [weather["name"], echo["name"], patch["name"]] == [
        "get_weather",
        "mcp__demo__echo_it",
        "mcp__demo__apply_patch",
    ]
    assert echo["description"] == "About all tools of `mcp__demo`: Demo tools."
    assert patch["description"] == "Edits files."
    assert request.warnings == ()
    call = called([WEATHER, DEMO], "mcp__demo__echo_it", {"a": 1})
    assert (call["type"], call["namespace"], call["name"]) == ("function_call", "mcp__demo", "echo_it")
    assert json.loads(call["arguments"]) == {"a": 1}
    custom = called([DEMO], "mcp__demo__apply_patch", {"input": "+ a"})
    assert (custom["type"], custom["namespace"], custom["name"]) == ("custom_tool_call", "mcp__demo", "apply_patch")
    assert custom["input"] == "+ a"
    assert "namespace" not in called([WEATHER], "get_weather", {})


def test_calls_of_a_namespace_in_history_have_the_same_names() -> None:
    """Also if the tools are gone."""
    items: list[JSON] = [
        LOOK,
        {"type": "function_call", "call_id": "c1", "name": "echo_it", "namespace": "mcp__demo", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "namespace": "mcp__demo", "input": "a"},
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "2"},
    ]
    for tools in ([DEMO], []):
        content = decode(items, tools=tools).body["messages"][1]["content"]
        assert [block["name"] for block in content] == ["mcp__demo__echo_it", "mcp__demo__apply_patch"]


@pytest.mark.parametrize(
    ("tools", "plain_names"),
    [
        ([{**DEMO, "tools": [ECHO]}, {**DEMO, "name": "mcp__other", "tools": [ECHO]}], 2),
        (
            [
                {**DEMO, "name": "a", "tools": [{**ECHO, "name": "b__c"}]},
                {**DEMO, "name": "a__b", "tools": [{**ECHO, "name": "c"}]},
            ],
            0,
        ),
        ([{**DEMO, "name": "a", "tools": [ECHO]}, {**ECHO, "name": "a__echo_it"}], 1),
        ([{**DEMO, "name": "a_", "tools": [ECHO]}, {**DEMO, "name": "a", "tools": [ECHO]}], 0),
        ([{**DEMO, "name": "n" * 40, "tools": [{**ECHO, "name": "x" * 40}, {**ECHO, "name": "x" * 39 + "y"}]}], 0),
        ([{**DEMO, "name": "a.b c", "tools": [ECHO]}, {**DEMO, "name": "a_b_c", "tools": [ECHO]}], 1),
        ([{**ECHO, "name": "x" * 100}, {**ECHO, "name": "x" * 99 + "y"}], 0),
        ([{**DEMO, "name": "functions", "tools": [ECHO]}, WEATHER], 2),
    ],
)
def test_names_never_collide(tools: list[JSON], plain_names: int) -> None:
    """Each tool has a valid name of its own, in any order of the tools, and each call comes back with its own names."""
    flat = names(*tools)
    assert len(set(flat)) == len(flat)
    assert sorted(flat) == sorted(names(*reversed(tools)))
    assert all(len(name) <= 64 and name.replace("_", "").replace("-", "").isalnum() for name in flat)
    expected = set[tuple[str | None, str]]()
    for tool in cast("list[Any]", tools):
        inner = tool.get("tools")
        expected |= {(tool["name"], one["name"]) for one in inner} if inner else {(None, tool["name"])}
    items = [called(tools, name, {}) for name in flat]
    assert {(item.get("namespace"), item["name"]) for item in items} == expected
    assert (
        sum("__" in name or name in ("get_weather", "echo_it") for name in flat if not _has_digest(name)) == plain_names
    )


def _has_digest(name: str) -> bool:
    tail = name.rpartition("_")[2]
    return len(tail) == 8 and set(tail) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ({"type": "function", "name": "echo_it", "namespace": "mcp__demo"}, "mcp__demo__echo_it"),
        ({"type": "function", "name": "echo_it"}, "mcp__demo__echo_it"),
        ({"type": "custom", "name": "apply_patch"}, "mcp__demo__apply_patch"),
        ({"type": "tool_search"}, "tool_search"),
    ],
)
def test_a_tool_of_a_namespace_can_be_chosen(choice: JSON, name: str) -> None:
    """With its namespace, or by its name alone if only one tool has it."""
    tools: list[JSON] = [WEATHER, DEMO, {"type": "tool_search", "execution": "client"}]
    assert decode(tools=tools, tool_choice=choice).body["tool_choice"] == {"type": "tool", "name": name}


def test_a_namespace_can_be_allowed() -> None:
    """Its entry means all its tools."""
    choice: JSON = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "namespace", "name": "mcp__demo"}]}
    assert [tool["name"] for tool in decode(tools=[WEATHER, DEMO], tool_choice=choice).body["tools"]] == [
        "mcp__demo__echo_it",
        "mcp__demo__apply_patch",
    ]


def test_invalid_tools_of_a_namespace_are_named_by_their_path() -> None:
    """Errors and warnings name the tool inside of the namespace."""
    assert decode_error(tools=[{**DEMO, "tools": [{"type": "function"}]}]) == (
        "missing_required_parameter",
        "tools[0].tools[0].name",
    )
    request = decode(tools=[{**DEMO, "tools": [ECHO, {"type": "image_generation"}]}])
    assert warnings(request) == [("ignored", "tools[0].tools[1].type")]


def test_tool_search_of_the_client() -> None:
    """Claude calls a function; the client gets a `tool_search_call`, and what it finds can be called."""
    search: JSONObject = {
        "type": "tool_search",
        "execution": "client",
        "description": "Finds tools.",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    }
    [tool] = decode(tools=[search]).body["tools"]
    assert tool == {"name": "tool_search", "description": "Finds tools.", "input_schema": search["parameters"]}
    item = called([search], "tool_search", {"query": "echo"})
    assert item == {
        "id": item["id"],
        "type": "tool_search_call",
        "status": "completed",
        "call_id": "toolu_1",
        "execution": "client",
        "arguments": {"query": "echo"},
    }
    found: JSON = {"type": "tool_search_output", "call_id": "toolu_1", "execution": "client", "tools": [DEMO]}
    request = decode([LOOK, item, found], tools=[search])
    assert [tool["name"] for tool in request.body["tools"]] == [
        "tool_search",
        "mcp__demo__echo_it",
        "mcp__demo__apply_patch",
    ]
    _, call, result = request.body["messages"]
    assert call["content"] == [{"type": "tool_use", "id": "toolu_1", "name": "tool_search", "input": {"query": "echo"}}]
    assert "`mcp__demo__echo_it`" in str(result["content"])
    assert request.warnings == ()
    again = decode([LOOK, item, found, {**item, "call_id": "c2"}, {**found, "call_id": "c2"}], tools=[search])  # type: ignore[dict-item]
    assert again.body["tools"] == request.body["tools"]
    nothing = decode([LOOK, item, {**found, "tools": []}], tools=[search])  # type: ignore[dict-item]
    assert "No tools were found." in str(nothing.body["messages"][2])


def test_tool_search_of_the_server_is_not_needed() -> None:
    """Claude gets deferred tools at once, with a warning; searches without an id in history are paired by order."""
    deferred: JSONObject = {**DEMO, "tools": [{**ECHO, "defer_loading": True}]}
    request = decode(tools=[{"type": "tool_search"}, deferred])
    assert [tool["name"] for tool in request.body["tools"]] == ["mcp__demo__echo_it"]
    assert warnings(request) == [("ignored", "tools[0].type")]
    search: JSON = {"type": "tool_search_call", "execution": "server", "call_id": None, "arguments": {"paths": ["a"]}}
    found: JSON = {"type": "tool_search_output", "execution": "server", "call_id": None, "tools": [deferred]}
    turns = decode([LOOK, search, found, LOOK, search, found], tools=[deferred]).body["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant", "user"]


def test_additional_tools_are_offered() -> None:
    """Codex sends all its tools in this item, those without a namespace in one that is called `functions`."""
    tools: list[JSON] = [{**DEMO, "name": "functions"}, DEMO, {"type": "web_search", "external_web_access": False}]
    request = decode([{"type": "additional_tools", "role": "developer", "tools": tools}, LOOK], tool_choice="auto")
    assert [tool["name"] for tool in request.body["tools"]] == [
        "echo_it",
        "apply_patch",
        "mcp__demo__echo_it",
        "mcp__demo__apply_patch",
        "web_search",
    ]
    assert warnings(request) == [("ignored", "input[0].tools[2].external_web_access")]


@pytest.mark.parametrize(
    ("tool", "arguments", "item_type", "fields"),
    [
        (
            {"type": "local_shell"},
            {"command": ["ls", "-l"], "timeout_ms": 100},
            "local_shell_call",
            {"action": {"type": "exec", "command": ["ls", "-l"], "timeout_ms": 100, "env": {}}},
        ),
        (
            {"type": "shell", "environment": {"type": "local"}},
            {"commands": ["ls"]},
            "shell_call",
            {
                "action": {"commands": ["ls"], "timeout_ms": None, "max_output_length": None},
                "environment": {"type": "local"},
            },
        ),
        (
            {"type": "apply_patch"},
            {"type": "create_file", "path": "a", "diff": "+a"},
            "apply_patch_call",
            {"operation": {"type": "create_file", "path": "a", "diff": "+a"}},
        ),
    ],
)
def test_tools_that_the_client_runs(tool: JSON, arguments: JSONObject, item_type: str, fields: JSONObject) -> None:
    """A call is an item of the tool's own type; the same item in history is the same call."""
    name = item_type.removesuffix("_call")
    item = called([tool], name, arguments)
    assert item == {"id": item["id"], "type": item_type, "status": "completed", "call_id": "toolu_1", **fields}
    result: JSON = {"type": f"{item_type}_output", "call_id": "toolu_1", "id": "o", "output": "done"}
    request = decode([LOOK, item, result], tools=[tool])
    assert request.body["messages"][1]["content"] == [
        {"type": "tool_use", "id": "toolu_1", "name": name, "input": arguments}
    ]
    assert "done" in str(request.body["messages"][2]["content"])


def test_a_shell_that_openai_would_run_is_not_offered() -> None:
    """A warning names its environment."""
    request = decode(tools=[{"type": "shell", "environment": {"type": "container_auto"}}])
    assert "tools" not in request.body
    assert warnings(request) == [("ignored", "tools[0].environment")]


def test_warnings_of_arguments_name_the_tool_as_the_client_knows_it() -> None:
    """Claude's flat name would mean nothing to the client."""
    strict: JSONObject = {**ECHO, "parameters": {"type": "object", "properties": {}, "required": ["a"]}}
    request = decode(tools=[{**DEMO, "tools": [strict]}])
    from_claude: JSONObject = {"type": "tool_use", "id": "t", "name": "mcp__demo__echo_it", "input": {}}
    [warning] = dialect().response_warnings(request, [accumulate(script([from_claude], "tool_use"))])
    assert "`echo_it`" in warning.detail
