"""Agents over the real runtime, in a directory of the test."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from backend_harness import Answer, Runtime, runtime, user

from dragoman.backends.base import RunRequest
from dragoman.backends.claude_code.agent.boundary import Boundary
from dragoman.backends.claude_code.agent.rules import AgentRules
from dragoman.core.accumulate import accumulate
from dragoman.core.events import Event
from dragoman.core.messages import AgentTask, Block, JSONObject, Message, RequestOptions
from dragoman.core.value_object import replace

HARMLESS = ("Bash(true)",)
UNCONFINED: dict[str, Any] = {"agent_boundary": False, "allow_tool": HARMLESS}
"""Settings of a gateway whose agents run without a boundary, on every system."""

_PROBLEM = Boundary().find_problem()
needs_boundary = pytest.mark.skipif(_PROBLEM is not None, reason=f"there is no boundary for agents here: {_PROBLEM}")


def call(tool: str, **arguments: object) -> str:
    """Return a prompt that makes the simulated model call a tool."""
    return f"Call {tool} {json.dumps(arguments)}"


def bash(command: str) -> str:
    """Return a prompt that makes the simulated model run a command."""
    return call("Bash", command=command, description="a command")


def in_turn(*calls: str) -> str:
    """Return a prompt that makes the simulated model make calls in one run, one in each turn.

    A run takes a process of the runtime. Checks that need no separate runs share one.
    """
    return "\nthen\n".join(calls)


def describe_actions(answer: Answer) -> str:
    """Return the thinking of a response, which describes the agent's tool calls and their results."""
    return "".join(
        str(block["thinking"]) for block in answer.accumulated.message["content"] if block["type"] == "thinking"
    )


def create_directory(tmp_path: Path) -> Path:
    """Create a directory for agents, with a file in it."""
    created = tmp_path / "place"
    created.mkdir()
    (created / "inside.txt").write_text("TEXT OF THE FILE")
    return created


@dataclass
class AgentHost:
    """A backend with agents.

    Attributes:
        runtime: The backend.
        allowed_dir: The directory that agents may work in.
        outside_dir: Another directory.
    """

    runtime: Runtime
    allowed_dir: Path
    outside_dir: Path

    def request(self, prompt: str | list[Message], body: dict[str, Any] | None = None, **task: object) -> RunRequest:
        """Return a request for an agent."""
        messages = [user(prompt)] if isinstance(prompt, str) else prompt
        request = self.runtime.request(messages, **(body or {}))
        return replace(request, request_options=RequestOptions(agent=AgentTask(**task)))  # type: ignore[arg-type]

    async def ask(self, prompt: str | list[Message], body: dict[str, Any] | None = None, **task: object) -> Answer:
        """Run an agent to the end."""
        events: list[Event] = []
        async with aclosing(self.runtime.backend.run(self.request(prompt, body, **task))) as running:
            async for event in running:
                events += [event]
        return Answer(events, accumulate(events))

    @property
    def result(self) -> Block:
        """The last tool result that reached the API."""
        return self.results[-1]

    @property
    def results(self) -> list[Block]:
        """All tool results of the last run."""
        messages = cast("list[JSONObject]", self.runtime.calls[-1].body["messages"])
        return [block for message in messages for block in _blocks(message) if block["type"] == "tool_result"]

    @property
    def workspaces(self) -> list[Path]:
        """The workspaces that still exist."""
        return list((self.runtime.options.state_dir / "agents").iterdir())


@asynccontextmanager
async def agents(folder: Path, *, command: Path | None = None, **rules: object) -> AsyncIterator[AgentHost]:
    """A backend whose agents may work in one directory. There is another directory next to it.

    By default there is no boundary, and a rule allows one command, so that the tool for commands is offered.
    """
    allowed_dir, outside_dir = create_directory(folder), folder / "outside"
    outside_dir.mkdir()
    (outside_dir / "outside.txt").write_text("OUTSIDE FILE")
    given = {"allowed_tools": HARMLESS, **rules}
    agent_rules = AgentRules(directories=(allowed_dir,), **given)  # type: ignore[arg-type]
    async with runtime(folder, agents=agent_rules, command=command) as harness:
        yield AgentHost(harness, allowed_dir, outside_dir)


@asynccontextmanager
async def agents_under(folder: Path, rules: AgentRules) -> AsyncIterator[AgentHost]:
    """A backend with the rules of the test."""
    async with runtime(folder, agents=rules) as harness:
        yield AgentHost(harness, rules.directories[0], folder)


def _blocks(message: JSONObject) -> list[Block]:
    content = message["content"]
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
