"""Requests for agents, in every dialect with conversations."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from dragoman.core.catalog import Catalog
from dragoman.core.errors import InvalidRequest, NotFound, UnsupportedFeature
from dragoman.core.messages import AgentTask
from dragoman.dialects.base import DecodedRequest
from dragoman.dialects.chat.dialect import ChatDialect
from dragoman.dialects.completions.dialect import CompletionsDialect
from dragoman.dialects.messages.dialect import MessagesDialect
from dragoman.dialects.responses.dialect import ResponsesDialect

OLD = "claude-sonnet-4-5"
Decode = Callable[..., DecodedRequest]


def chat(**fields: object) -> DecodedRequest:
    """Decode a chat request."""
    body = {"model": OLD, "messages": [{"role": "user", "content": "ping"}], **fields}
    return ChatDialect(Catalog()).decode(json.dumps(body).encode())


def responses(**fields: object) -> DecodedRequest:
    """Decode a responses request."""
    return ResponsesDialect(Catalog).decode(json.dumps({"model": OLD, "input": "ping", **fields}).encode())


def messages(**fields: object) -> DecodedRequest:
    """Decode a request of the Messages API."""
    body = {"model": OLD, "max_tokens": 50, "messages": [{"role": "user", "content": "ping"}], **fields}
    return MessagesDialect(Catalog).decode(json.dumps(body).encode())


EVERY_DIALECT = pytest.mark.parametrize("decode", [chat, responses, messages], ids=["chat", "responses", "messages"])

ALL_FIELDS: dict[str, Any] = {
    "mode": "agent",
    "working_directory": "/srv/app",
    "permission_mode": "acceptEdits",
    "tools": ["Read", "Bash"],
    "add_dirs": ["/srv/lib"],
    "mcp_servers": {"docs": {"type": "http", "url": "https://docs.example", "headers": {"X-Api-Key": "k"}}},
    "max_turns": 7,
    "max_budget_usd": 0.5,
}
TASK = AgentTask(
    working_directory="/srv/app",
    permission_mode="acceptEdits",
    tools=("Read", "Bash"),
    add_dirs=("/srv/lib",),
    mcp_servers=ALL_FIELDS["mcp_servers"],
    max_turns=7,
    max_budget_usd=0.5,
)


def camel(name: str) -> str:
    """Return `max_turns` as `maxTurns`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


@EVERY_DIALECT
@pytest.mark.parametrize("write", [str, camel], ids=["snake", "camel"])
def test_all_fields_are_read(decode: Decode, write: Callable[[str], str]) -> None:
    """In snake case and in camel case. The contents of servers are unchanged, and nothing is sent to Claude."""
    decoded = decode(claude={write(key): value for key, value in ALL_FIELDS.items()})
    assert decoded.request_options.agent == TASK
    assert decoded.body == decode().body
    assert decoded.warnings == ()


@EVERY_DIALECT
def test_a_model_name_can_ask_for_an_agent(decode: Decode) -> None:
    """With or without the field `claude`."""
    decoded = decode(model="sonnet:agent")
    assert decoded.request_options.agent == AgentTask()
    assert decoded.resolved.model.id == "claude-sonnet-5-5"
    assert decode(model="sonnet:agent", claude={"max_turns": 3}).request_options.agent == AgentTask(max_turns=3)
    with pytest.raises(NotFound):
        decode(model="sonet:agent")


@EVERY_DIALECT
def test_empty_fields_and_chat_mode_ask_for_no_agent(decode: Decode) -> None:
    """In chat mode, other fields are ignored with a warning."""
    for field in (None, {}, {"mode": "chat"}, {"mode": None, "tools": None}):
        decoded = decode(claude=field)
        assert decoded.request_options.agent is None
        assert decoded.warnings == ()
    ignored = decode(claude={"mode": "chat", "max_turns": 3})
    assert [(warning.code, warning.param) for warning in ignored.warnings] == [("ignored", "claude.max_turns")]


@EVERY_DIALECT
def test_any_field_asks_for_an_agent(decode: Decode) -> None:
    """A directory alone asks for an agent, too."""
    assert decode(claude={"workingDirectory": "/srv"}).request_options.agent == AgentTask(working_directory="/srv")


@EVERY_DIALECT
@pytest.mark.parametrize(
    ("field", "code", "param"),
    [
        ({"mode": "agent", "sudo": True}, "unknown_parameter", "claude.sudo"),
        ({"mode": "god"}, "invalid_value", "claude.mode"),
        ({"permission_mode": "yolo"}, "invalid_value", "claude.permission_mode"),
        ({"max_turns": 0}, "invalid_value", "claude.max_turns"),
        ({"maxBudgetUsd": 0}, "invalid_value", "claude.max_budget_usd"),
        ({"tools": ["--dangerously-skip-permissions"]}, "invalid_value", "claude.tools[0]"),
        ({"tools": ["Read", "Bash(rm *)"]}, "invalid_value", "claude.tools[1]"),
        ({"tools": ["Read,Bash"]}, "invalid_value", "claude.tools[0]"),
        ({"tools": ["Bash\n"]}, "invalid_value", "claude.tools[0]"),
        ({"max_turns": 1, "maxTurns": 9}, "invalid_value", "claude.max_turns"),
        ({"env": {"PATH": "/x"}}, "unknown_parameter", "claude.env"),
        ({"settings": {}}, "unknown_parameter", "claude.settings"),
        ({"tools": "Bash"}, "invalid_type", "claude.tools"),
        ({"add_dirs": [1]}, "invalid_type", "claude.add_dirs[0]"),
        ({"mcp_servers": {"a b": {}}}, "invalid_value", "claude.mcp_servers"),
        ({"mcp_servers": {"ab\n": {}}}, "invalid_value", "claude.mcp_servers"),
    ],
)
def test_invalid_fields_are_refused_by_name(decode: Decode, field: dict[str, Any], code: str, param: str) -> None:
    """No field that affects what an agent may do is ignored."""
    with pytest.raises(InvalidRequest) as caught:
        decode(claude=field)
    assert caught.value.code == code
    assert (caught.value.param or "").startswith(param)


FUNCTION = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", [FUNCTION]),
        ("functions", [FUNCTION["function"]]),
        ("n", 2),
        ("response_format", {"type": "json_object"}),
        ("web_search_options", {}),
    ],
)
def test_chat_fields_that_agents_do_not_support(field: str, value: object) -> None:
    """Tools of the client, several choices, an output format."""
    with pytest.raises(UnsupportedFeature) as caught:
        chat(claude={"mode": "agent"}, **{field: value})
    assert caught.value.param == field


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("tools", [{"type": "function", "name": "weather", "parameters": {"type": "object"}}]),
        ("text.format", {"format": {"type": "json_object"}}),
    ],
)
def test_responses_fields_that_agents_do_not_support(param: str, value: object) -> None:
    """Tools of the client, an output format."""
    with pytest.raises(UnsupportedFeature) as caught:
        responses(claude={"mode": "agent"}, **{param.partition(".")[0]: value})
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("tools", [{"name": "weather", "input_schema": {"type": "object"}}]),
        ("tool_choice", {"type": "any"}),
        ("mcp_servers", [{"type": "url", "url": "https://a.example", "name": "a"}]),
        ("output_config.format", {"format": {"type": "json_schema", "schema": {}}}),
    ],
)
def test_messages_fields_that_agents_do_not_support(param: str, value: object) -> None:
    """Tools of the client, MCP servers, an output format."""
    with pytest.raises(UnsupportedFeature) as caught:
        messages(claude={"mode": "agent"}, **{param.partition(".")[0]: value})
    assert caught.value.param == param


def test_a_permission_rule_as_a_tool_name_is_refused() -> None:
    """The error names the operator's flag."""
    with pytest.raises(InvalidRequest, match="--allow-tool"):
        chat(claude={"tools": ["Bash(git *)"]})


def test_text_completions_have_no_agents() -> None:
    """The error names the endpoints that have agents."""
    body = json.dumps({"model": "sonnet:agent", "prompt": "Once"}).encode()
    with pytest.raises(UnsupportedFeature, match="/v1/chat/completions"):
        CompletionsDialect(Catalog).decode(body)


def test_unsigned_thinking_is_not_sent_to_claude() -> None:
    """An agent's report comes back as unsigned thinking, which Claude refuses: it is left out with a warning."""
    report = {"type": "thinking", "thinking": "Bash {}", "signature": ""}
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "signed"}
    text = {"type": "text", "text": "There."}
    ask = {"role": "user", "content": "ping"}
    decoded = messages(
        messages=[
            ask,
            {"role": "assistant", "content": [report, thinking, text]},
            ask,
            {"role": "assistant", "content": [report]},
            ask,
        ]
    )
    assert [message["role"] for message in decoded.body["messages"]] == ["user", "assistant", "user", "user"]
    assert decoded.body["messages"][1]["content"] == [thinking, text]
    assert [(warning.code, warning.param) for warning in decoded.warnings] == [
        ("ignored", "messages[1].content"),
        ("ignored", "messages[3].content"),
    ]


def test_an_agent_cannot_continue_an_assistant_message() -> None:
    """The error is `unsupported_prefill`."""
    messages = [{"role": "user", "content": "ping"}, {"role": "assistant", "content": "po"}]
    with pytest.raises(UnsupportedFeature) as caught:
        chat(messages=messages, claude={"mode": "agent"})
    assert caught.value.code == "unsupported_prefill"
