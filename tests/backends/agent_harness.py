"""Agents over the real runtime, in a directory of the test's."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from backend_harness import Answer, Runtime, runtime, user

from dragoman.backends.base import RunRequest
from dragoman.backends.claude_code.agent.rules import AgentRules
from dragoman.core.accumulate import accumulate
from dragoman.core.events import Event
from dragoman.core.messages import AgentTask, Block, JSONObject, Message, RequestOptions


def call(tool: str, **given: object) -> str:
    """The words by which the simulated model calls a tool."""
    return f"Call {tool} {json.dumps(given)}"


def bash(command: str) -> str:
    """The same for a command."""
    return call("Bash", command=command, description="a command")


def did(answer: Answer) -> str:
    """What the agent did, in short."""
    return "".join(
        str(block["thinking"]) for block in answer.accumulated.message["content"] if block["type"] == "thinking"
    )


def a_place(tmp_path: Path) -> Path:
    """A directory for agents, with a file in it; to be made a fixture of."""
    made = tmp_path / "place"
    made.mkdir()
    (made / "inside.txt").write_text("TEXT OF THE FILE")
    return made


@dataclass
class AgentHost:
    """A backend with agents.

    Attributes:
        runtime: The backend.
        place: Where its agents may work.
        beside: Where they may not.
    """

    runtime: Runtime
    place: Path
    beside: Path

    def request(self, words: str | list[Message], body: dict[str, Any] | None = None, **task: object) -> RunRequest:
        """A request for an agent."""
        messages = [user(words)] if isinstance(words, str) else words
        made = self.runtime.request(messages, **(body or {}))
        return replace(made, request_options=RequestOptions(agent=AgentTask(**task)))  # type: ignore[arg-type]

    async def ask(self, words: str | list[Message], body: dict[str, Any] | None = None, **task: object) -> Answer:
        """Let an agent work, to the end."""
        events: list[Event] = []
        async with aclosing(self.runtime.backend.run(self.request(words, body, **task))) as running:
            async for event in running:
                events += [event]
        return Answer(events, accumulate(events))

    @property
    def result(self) -> Block:
        """The result of the last tool, as it reached the API."""
        messages = cast("list[JSONObject]", self.runtime.calls[-1].body["messages"])
        blocks = [block for message in messages for block in _blocks(message) if block["type"] == "tool_result"]
        return blocks[-1]

    @property
    def left(self) -> list[Path]:
        """Files of agents that are there still."""
        return list((self.runtime.options.state_dir / "agents").iterdir())


@asynccontextmanager
async def agents(folder: Path, *, command: Path | None = None, **rules: object) -> AsyncIterator[AgentHost]:
    """A backend that lets agents work in one directory, beside which there is another."""
    place, beside = a_place(folder), folder / "beside"
    beside.mkdir()
    (beside / "outside.txt").write_text("WHAT STANDS OUTSIDE")
    allowed = AgentRules(directories=(place,), **rules)  # type: ignore[arg-type]
    async with runtime(folder, agents=allowed, command=command) as through:
        yield AgentHost(through, place, beside)


@asynccontextmanager
async def agents_under(folder: Path, rules: AgentRules) -> AsyncIterator[AgentHost]:
    """The same with rules of the caller's own making."""
    async with runtime(folder, agents=rules) as through:
        yield AgentHost(through, rules.directories[0], folder)


def _blocks(message: JSONObject) -> list[Block]:
    content = message["content"]
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
