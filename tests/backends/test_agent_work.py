"""An agent's run: many API calls, one response."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from agent_harness import AgentHost, agents, bash, call, describe_actions
from backend_harness import Answer, assistant, message_events, text, user

from dragoman.backends.claude_code.agent.reader import AgentReader
from dragoman.core.errors import GatewayError, InvalidRequest, QuotaExceeded, UpstreamFailed
from dragoman.core.events import BlockStart, BlockStop, MessageDelta, MessageStart, MessageStop
from dragoman.core.messages import JSONObject

_TOKEN_COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")


def add_usages(usages: Iterable[Mapping[str, object]]) -> list[int]:
    """Return the sums of the token counts of several usages."""
    usage_list = list(usages)
    return [sum(cast("int", usage[name]) for usage in usage_list) for name in _TOKEN_COUNTS]


def assert_usage_is_complete(host: AgentHost, answer: Answer) -> None:
    """Check that the usage of the response is that of all calls."""
    usage = cast("JSONObject", answer.accumulated.message["usage"])
    assert add_usages([usage]) == add_usages(call.usage for call in host.runtime.calls)


async def test_a_run_with_a_tool_call(tmp_path: Path) -> None:
    """Tool calls and results are thinking. The usage is that of both calls, and no file remains."""
    async with agents(tmp_path) as host:
        answer = await host.ask(call("Read", file_path=str(host.allowed_dir / "inside.txt")))
        assert answer.path == "agent"
        assert describe_actions(answer).startswith('Read {"file_path":')
        assert "→" in describe_actions(answer)
        assert "TEXT OF THE FILE" in describe_actions(answer)
        assert answer.text.startswith("The tool said:")
        assert answer.accumulated.message["stop_reason"] == "end_turn"
        assert len(host.runtime.calls) == 2
        assert_usage_is_complete(host, answer)
        assert host.workspaces == []
        assert host.runtime.processes == {"spare": 0, "live": 0, "agents": 0, "all": 0}


async def test_the_events_form_one_message(tmp_path: Path) -> None:
    """One start, blocks in order with consecutive indexes, one stop reason, one end. There is no signature."""
    async with agents(tmp_path) as host:
        answer = await host.ask(bash("cat inside.txt"))
        events = message_events(answer)
        assert isinstance(events[0], MessageStart)
        assert [type(event) for event in events[-2:]] == [MessageDelta, MessageStop]
        started = [event.index for event in events if isinstance(event, BlockStart)]
        assert started == list(range(len(started)))
        assert [event.index for event in events if isinstance(event, BlockStop)] == started
        assert not any(block.get("signature") for block in answer.accumulated.message["content"])


async def test_the_conversation_and_the_system_prompt_arrive(tmp_path: Path) -> None:
    """Earlier messages are replayed. The client's system prompt follows the runtime's own."""
    conversation = [user("My name is Ann."), assistant("Hello Ann."), user("And now?")]
    async with agents(tmp_path) as host:
        await host.ask(conversation, {"system": [text("Be brief.")]})
        [first] = host.runtime.calls
        messages = json.dumps(first.body["messages"])
        assert messages.index("My name is Ann.") < messages.index("Hello Ann.") < messages.index("And now?")
        prompt = str(cast("list[JSONObject]", first.body["system"])[-1]["text"])
        assert prompt.endswith("Be brief.")
        assert str(host.allowed_dir) in prompt + messages


async def test_max_tokens_is_ignored_with_a_warning(tmp_path: Path) -> None:
    """Other parameters reach every call."""
    async with agents(tmp_path) as host:
        answer = await host.ask(bash("cat inside.txt"), {"max_tokens": 50, "temperature": 0.25})
        assert [(warning.code, warning.param) for warning in answer.started.warnings] == [("ignored", "max_tokens")]
        assert [call.body["temperature"] for call in host.runtime.calls] == [0.25, 0.25]
        assert {call.body["max_tokens"] for call in host.runtime.calls} != {50}


async def test_the_task_selects_the_tools(tmp_path: Path) -> None:
    """By name. An empty list means no tools."""
    async with agents(tmp_path) as host:
        await host.ask("Hello", tools=("Read", "Grep"))
        await host.ask("Hello", tools=())
        offered = [
            {str(tool["name"]) for tool in cast("list[JSONObject]", c.body["tools"])} for c in host.runtime.calls
        ]
        assert offered == [{"Read", "Grep"}, set()]


async def test_a_subagent_is_shown_and_counted(tmp_path: Path) -> None:
    """Two of the four calls are the subagent's. The usage includes them."""
    async with agents(tmp_path) as host:
        prompt = call("Agent", description="d", prompt=bash("cat inside.txt"), subagent_type="general-purpose")
        # Escaped, so that the first model does not find the name of a second tool.
        answer = await host.ask(prompt.replace("Bash", "\\u0042ash"))
        assert len(host.runtime.calls) == 4
        assert_usage_is_complete(host, answer)
        assert '\n  Bash {"command":"cat inside.txt"' in describe_actions(answer)


@pytest.mark.parametrize(
    ("task", "limit"),
    [
        ({"max_turns": 1}, "max_turns"),
        ({"max_budget_usd": 0.000001}, "max_budget_usd"),
        ({"max_budget_usd": 1e-12}, "max_budget_usd"),
    ],
)
async def test_a_limit_cuts_the_response(tmp_path: Path, task: dict[str, Any], limit: str) -> None:
    """The agent makes one call. The thinking names the limit, and the stop reason is that of a cut response."""
    async with agents(tmp_path) as host:
        answer = await host.ask(bash("cat inside.txt"), **task)
        assert answer.accumulated.message["stop_reason"] == "max_tokens"
        assert limit in describe_actions(answer)
        assert len(host.runtime.calls) == 1


async def test_the_operators_budget_limits_the_clients(tmp_path: Path) -> None:
    """The smaller budget counts, also if the client sets none."""
    async with agents(tmp_path, max_budget_usd=0.000001) as host:
        for budget in (None, 100.0):
            answer = await host.ask(bash("cat inside.txt"), max_budget_usd=budget)
            assert "max_budget_usd" in describe_actions(answer)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("status 402", QuotaExceeded),
        ("status 400 invalid_request_error: No.", InvalidRequest),
        ("error after 2", GatewayError),
        ("cut after 2", UpstreamFailed),
    ],
)
async def test_failures_keep_their_cause(tmp_path: Path, fault: str, error: type[GatewayError]) -> None:
    """Also in the middle of a response. No text is repeated, and nothing remains."""
    async with agents(tmp_path) as host:
        with pytest.raises(error):
            await host.ask(f"Count to 9\nSimulate: {fault}")
        assert host.workspaces == []
        assert host.runtime.processes["all"] == 0


async def test_commands_do_not_see_the_runtimes_keys(tmp_path: Path) -> None:
    """Nor do they see other variables of the gateway."""
    async with agents(tmp_path, allowed_tools=("Bash",)) as host:
        await host.ask(bash("env"))
        variables = str(host.result["content"])
        assert "CLAUDECODE=1" in variables
        assert "sk-ant-dummy" not in variables
        assert "PYTEST" not in variables


def test_the_end_of_each_call_that_calls_tools_is_reported() -> None:
    """With its usage, before its tools run: without a proxy, that is where a run can be stopped."""
    usages: list[JSONObject] = []
    reader = AgentReader(usages.append)
    tool: JSONObject = {"type": "tool_use", "id": "t", "name": "Read", "input": {}}
    text_block: JSONObject = {"type": "text", "text": ""}
    for reason, output, block in (("tool_use", 7, tool), ("end_turn", 9, text_block)):
        start: JSONObject = {"id": "m", "content": [], "usage": {"input_tokens": 5, "output_tokens": 1}}
        for event in (
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": output}},
            {"type": "message_stop"},
        ):
            list(reader.feed({"type": "stream_event", "event": cast("JSONObject", event)}))
    assert reader.error is None
    assert usages == [{"input_tokens": 5, "output_tokens": 7}]
