"""A wish for an agent, as clients of both OpenAI dialects write it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from dragoman.agents import AgentTask
from dragoman.catalog import Catalog
from dragoman.errors import InvalidRequest, NotFound, UnsupportedFeature
from dragoman.wire.base import Decoded
from dragoman.wire.openai_chat import OpenAIChat
from dragoman.wire.openai_responses import OpenAIResponses

OLD = "claude-sonnet-4-5"
Decode = Callable[..., Decoded]


def chat(**fields: object) -> Decoded:
    """Decode a chat request."""
    body = {"model": OLD, "messages": [{"role": "user", "content": "ping"}], **fields}
    return OpenAIChat(Catalog()).decode(json.dumps(body).encode())


def responses(**fields: object) -> Decoded:
    """Decode a responses request."""
    return OpenAIResponses(Catalog).decode(json.dumps({"model": OLD, "input": "ping", **fields}).encode())


BOTH = pytest.mark.parametrize("decode", [chat, responses], ids=["chat", "responses"])

WHOLE: dict[str, Any] = {
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
    mcp_servers=WHOLE["mcp_servers"],
    max_turns=7,
    max_budget_usd=0.5,
)


def camel(name: str) -> str:
    """`max_turns` as `maxTurns`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


@BOTH
@pytest.mark.parametrize("write", [str, camel], ids=["snake", "camel"])
def test_every_field(decode: Decode, write: Callable[[str], str]) -> None:
    """In snake case and in camel case; what stands in servers is left as it is, and nothing of it is sent."""
    decoded = decode(claude={write(key): value for key, value in WHOLE.items()})
    assert decoded.terms.agent == TASK
    assert decoded.body == decode().body
    assert decoded.notices == ()


@BOTH
def test_a_models_name_may_ask_for_one(decode: Decode) -> None:
    """With or without the field."""
    decoded = decode(model="sonnet:agent")
    assert decoded.terms.agent == AgentTask()
    assert decoded.resolved.model.id == "claude-sonnet-5-5"
    assert decode(model="sonnet:agent", claude={"max_turns": 3}).terms.agent == AgentTask(max_turns=3)
    with pytest.raises(NotFound):
        decode(model="sonet:agent")


@BOTH
def test_no_agent(decode: Decode) -> None:
    """Nothing, and what says so, asks for none."""
    for field in (None, {}, {"mode": "chat"}, {"mode": None, "tools": None}):
        decoded = decode(claude=field)
        assert decoded.terms.agent is None
        assert decoded.notices == ()
    ignored = decode(claude={"mode": "chat", "max_turns": 3})
    assert [(notice.code, notice.param) for notice in ignored.notices] == [("ignored", "claude.max_turns")]


@BOTH
def test_the_fields_mean_nothing_else(decode: Decode) -> None:
    """So a directory alone asks for an agent too."""
    assert decode(claude={"workingDirectory": "/srv"}).terms.agent == AgentTask(working_directory="/srv")


@BOTH
@pytest.mark.parametrize(
    ("field", "code", "param"),
    [
        ({"mode": "agent", "sudo": True}, "unknown_parameter", "claude.sudo"),
        ({"mode": "god"}, "invalid_value", "claude.mode"),
        ({"permission_mode": "yolo"}, "invalid_value", "claude.permission_mode"),
        ({"max_turns": 0}, "invalid_value", "claude.max_turns"),
        ({"maxBudgetUsd": 0}, "invalid_value", "claude.max_budget_usd"),
        ({"tools": ["--dangerously-skip-permissions"]}, "invalid_value", "claude.tools[0]"),
        ({"tools": "Bash"}, "invalid_type", "claude.tools"),
        ({"add_dirs": [1]}, "invalid_type", "claude.add_dirs[0]"),
        ({"mcp_servers": {"a b": {}}}, "invalid_value", "claude.mcp_servers"),
    ],
)
def test_what_makes_no_sense(decode: Decode, field: dict[str, Any], code: str, param: str) -> None:
    """Is refused by its name; nothing that bears on what an agent may do is ignored."""
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
def test_what_does_not_go_with_one_in_chat(field: str, value: object) -> None:
    """Tools of the client's, several answers, a format."""
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
def test_what_does_not_go_with_one_in_responses(param: str, value: object) -> None:
    """The same."""
    with pytest.raises(UnsupportedFeature) as caught:
        responses(claude={"mode": "agent"}, **{param.partition(".")[0]: value})
    assert caught.value.param == param


def test_no_prefill() -> None:
    """An agent begins its own answer."""
    messages = [{"role": "user", "content": "ping"}, {"role": "assistant", "content": "po"}]
    with pytest.raises(UnsupportedFeature) as caught:
        chat(messages=messages, claude={"mode": "agent"})
    assert caught.value.code == "unsupported_prefill"
