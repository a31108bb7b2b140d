"""What an agent's run is: many calls of the API, one answer."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from agent_harness import AgentHost, agents, bash, call, did
from backend_harness import Answer, assistant, message_events, text, user

from dragoman.core.errors import GatewayError, InvalidRequest, QuotaExceeded, UpstreamFailed
from dragoman.core.events import BlockStart, BlockStop, MessageDelta, MessageStart, MessageStop
from dragoman.core.messages import JSONObject

_FIGURES = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


def spent(usages: Iterable[Mapping[str, object]]) -> list[int]:
    """The figures of several usages, each added up."""
    told = list(usages)
    return [sum(cast("int", usage[name]) for usage in told) for name in _FIGURES]


def assert_all_is_counted(host: AgentHost, answer: Answer) -> None:
    """The answer's usage is that of all calls."""
    of_answer = cast("JSONObject", answer.accumulated.message["usage"])
    assert spent([of_answer]) == spent(call.usage for call in host.runtime.calls)


async def test_it_works_and_tells(tmp_path: Path) -> None:
    """What it does is thinking, what it says is text; the usage is that of both calls, and nothing is left on disk."""
    async with agents(tmp_path) as host:
        answer = await host.ask(call("Read", file_path=str(host.place / "inside.txt")))
        assert answer.path == "agent"
        assert did(answer).startswith('Read {"file_path":')
        assert "→" in did(answer)
        assert "TEXT OF THE FILE" in did(answer)
        assert answer.text.startswith("The tool said:")
        assert answer.accumulated.message["stop_reason"] == "end_turn"
        assert len(host.runtime.calls) == 2
        assert_all_is_counted(host, answer)
        assert host.left == []
        assert host.runtime.processes == {"spare": 0, "live": 0, "agents": 0, "all": 0}


async def test_the_events_are_those_of_one_message(tmp_path: Path) -> None:
    """One start, blocks one after the other with places in a row, one stop reason, one end; no signature."""
    async with agents(tmp_path) as host:
        answer = await host.ask(bash("cat inside.txt"))
        events = message_events(answer)
        assert isinstance(events[0], MessageStart)
        assert [type(event) for event in events[-2:]] == [MessageDelta, MessageStop]
        begun = [event.index for event in events if isinstance(event, BlockStart)]
        assert begun == list(range(len(begun)))
        assert [event.index for event in events if isinstance(event, BlockStop)] == begun
        assert not any(block.get("signature") for block in answer.accumulated.message["content"])


async def test_the_conversation_and_the_instructions_arrive(tmp_path: Path) -> None:
    """Earlier messages are replayed; the client's system prompt stands behind the runtime's own."""
    said = [user("My name is Ann."), assistant("Hello Ann."), user("And now?")]
    async with agents(tmp_path) as host:
        await host.ask(said, {"system": [text("Be brief.")]})
        [first] = host.runtime.calls
        messages = json.dumps(first.body["messages"])
        assert messages.index("My name is Ann.") < messages.index("Hello Ann.") < messages.index("And now?")
        prompt = str(cast("list[JSONObject]", first.body["system"])[-1]["text"])
        assert prompt.endswith("Be brief.")
        assert str(host.place) in prompt + messages


async def test_what_bounds_a_single_call_is_said_to_be_ignored(tmp_path: Path) -> None:
    """`max_tokens` is; the rest of what was asked reaches every call."""
    async with agents(tmp_path) as host:
        answer = await host.ask(bash("cat inside.txt"), {"max_tokens": 50, "temperature": 0.25})
        assert [(warning.code, warning.param) for warning in answer.started.warnings] == [("ignored", "max_tokens")]
        assert [call.body["temperature"] for call in host.runtime.calls] == [0.25, 0.25]
        assert {call.body["max_tokens"] for call in host.runtime.calls} != {50}


async def test_only_the_tools_that_were_asked_for(tmp_path: Path) -> None:
    """By name; or none."""
    async with agents(tmp_path) as host:
        await host.ask("Hello", tools=("Read", "Grep"))
        await host.ask("Hello", tools=())
        offered = [
            {str(tool["name"]) for tool in cast("list[JSONObject]", c.body["tools"])} for c in host.runtime.calls
        ]
        assert offered == [{"Read", "Grep"}, set()]


async def test_a_helper_is_told_of_and_paid_for(tmp_path: Path) -> None:
    """What a subagent costs is in the usage; its own calls are two of four."""
    async with agents(tmp_path) as host:
        words = call("Agent", description="d", prompt=bash("cat inside.txt"), subagent_type="general-purpose")
        # Written so that the first model sees no second tool named.
        answer = await host.ask(words.replace("Bash", "\\u0042ash"))
        assert len(host.runtime.calls) == 4
        assert_all_is_counted(host, answer)
        assert '\n  Bash {"command":"cat inside.txt"' in did(answer)


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ({"max_turns": 1}, "max_turns"),
        ({"max_budget_usd": 0.000001}, "max_budget_usd"),
        ({"max_budget_usd": 1e-12}, "max_budget_usd"),
    ],
)
async def test_a_limit_ends_it_as_a_cut_answer(tmp_path: Path, task: dict[str, Any], why: str) -> None:
    """One call, the reason among what it did, and the stop reason of an answer that was cut."""
    async with agents(tmp_path) as host:
        answer = await host.ask(bash("cat inside.txt"), **task)
        assert answer.accumulated.message["stop_reason"] == "max_tokens"
        assert why in did(answer)
        assert len(host.runtime.calls) == 1


async def test_the_owners_budget_holds_where_the_client_sets_none_or_more(tmp_path: Path) -> None:
    """The smaller of the two counts."""
    async with agents(tmp_path, max_budget_usd=0.000001) as host:
        for asked in (None, 100.0):
            answer = await host.ask(bash("cat inside.txt"), max_budget_usd=asked)
            assert "max_budget_usd" in did(answer)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("status 402", QuotaExceeded),
        ("status 400 invalid_request_error: No.", InvalidRequest),
        ("error after 2", GatewayError),
        ("cut after 2", UpstreamFailed),
    ],
)
async def test_failures_are_errors(tmp_path: Path, fault: str, error: type[GatewayError]) -> None:
    """Of the API's own kind, also in mid-answer; never a text said twice, and nothing is left."""
    async with agents(tmp_path) as host:
        with pytest.raises(error):
            await host.ask(f"Count to 9\nSimulate: {fault}")
        assert host.left == []
        assert host.runtime.processes["all"] == 0


async def test_the_keys_of_the_runtime_are_not_in_a_commands_environment(tmp_path: Path) -> None:
    """Nor is anything of the gateway's own."""
    async with agents(tmp_path, allowed_tools=("Bash",)) as host:
        await host.ask(bash("env"))
        seen = str(host.result["content"])
        assert "CLAUDECODE=1" in seen
        assert "sk-ant-dummy" not in seen
        assert "PYTEST" not in seen
