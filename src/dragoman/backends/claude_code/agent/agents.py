"""A canonical request, as an agent takes it.

Runs agents, and owns their processes and all that these start.
"""

import asyncio
import secrets
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

import psutil
import structlog

from dragoman.backends.base import RunRequest
from dragoman.backends.claude_code import protocol
from dragoman.backends.claude_code.agent.process import arguments, connected, environment
from dragoman.backends.claude_code.agent.process_cleanup import descendants, end_descendants
from dragoman.backends.claude_code.agent.reader import AgentReader
from dragoman.backends.claude_code.agent.rules import HOOKS, Permitted, place_word, refusal
from dragoman.backends.claude_code.agent.workspace import AgentWorkspace
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.claude_code.session import Session
from dragoman.backends.claude_code.translate import RuntimeRequest, translate_request
from dragoman.backends.shared.installation import launch
from dragoman.backends.shared.process_guard import ProcessGuard
from dragoman.core.conversation import THINKING_TYPES
from dragoman.core.errors import UpstreamFailed
from dragoman.core.events import Event, Started
from dragoman.core.messages import JSONObject, Message, MessagesRequest
from dragoman.core.warnings import RequestWarning

_NOT_OF_AGENTS = frozenset({"max_tokens", "tools", "tool_choice"})


def agent_plan(request: RunRequest) -> RuntimeRequest:
    """Plan an agent's run, as any other but for what would bound or bind a single call.

    Raises:
        GatewayError: As `translate_request` does.
    """
    body = {key: value for key, value in request.body.items() if key not in _NOT_OF_AGENTS}
    # Thinking is valid only behind the very prompt that it was made behind, which an agent's is not.
    body["messages"] = [bare for message in request.body["messages"] if (bare := _without_thinking(message))["content"]]
    made = translate_request(replace(request, body=cast("MessagesRequest", body)))
    if "max_tokens" not in request.body:
        return made
    detail = "An agent's work is bounded by `claude.max_turns` and `claude.max_budget_usd` instead."
    return replace(made, warnings=(*made.warnings, RequestWarning("ignored", "max_tokens", detail)))


def _without_thinking(message: Message) -> Message:
    content = [block for block in message["content"] if block.get("type") not in THINKING_TYPES]
    return Message(role=message["role"], content=content)


log = structlog.get_logger("dragoman.runtime")


@dataclass(slots=True, eq=False)
class _Work:
    """One run, and what it holds.

    Attributes:
        mark: By which its processes are known.
        workshop: Its files.
        session: Its process.
        ending: What ends it all, once that has begun.
    """

    mark: str
    workshop: AgentWorkspace
    session: Session | None = None
    ending: asyncio.Task[None] | None = None


class Agents:
    """Starts a process for each run, and ends it with the run."""

    def __init__(self, options: ClaudeCodeOptions, guard: ProcessGuard, mark: str) -> None:
        """No agents yet.

        Args:
            options: What the runtime is started with, and what agents may do.
            guard: What ends them if the gateway is killed.
            mark: Tells this gateway's agents from another's.
        """
        self._options = options
        self._guard = guard
        self._mark = mark
        self._works: set[_Work] = set()

    def __len__(self) -> int:
        """How many are at work."""
        return len(self._works)

    async def aclose(self) -> None:
        """End them all. Idempotent."""
        await asyncio.gather(*(self._end(work) for work in list(self._works)))

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Let an agent work; see `dragoman.backends.base.Backend.run`.

        Raises:
            Forbidden: The owner does not allow what is asked for.
            GatewayError: It cannot be done, or failed.
        """
        if request.request_options.agent is None:
            raise ValueError("no agent is asked for")
        permitted, todo = self._options.agents.permit(request.request_options.agent), agent_plan(request)
        work = self._begin(request.id, permitted)
        began = time.perf_counter()
        try:
            session = await self._boot(permitted, work)
            booted = time.perf_counter()
            await session.initialize(_beginning(permitted, todo), [], todo.settings)
            await connected(session, permitted.mcp_servers)
            configured = time.perf_counter()
            *earlier, asking = protocol.replay_batches(todo.messages, todo.model)
            await session.append(earlier)
            stages = {"process": booted - began, "configure": configured - booted}
            yield Started("agent", {**stages, "replay": time.perf_counter() - configured}, todo.warnings)
            async with aclosing(session.run_turn(asking, sys.maxsize, AgentReader())) as events:
                async for event in events:
                    yield event
        finally:
            await self._end(work)

    def _begin(self, run: str, permitted: Permitted) -> _Work:
        name = f"{run}-{secrets.token_hex(4)}"
        mark = f"{self._mark}/{name}"
        work = _Work(mark, AgentWorkspace(self._options.state_dir, name, permitted.mcp_servers, mark))
        self._works.add(work)
        return work

    async def _boot(self, permitted: Permitted, work: _Work) -> Session:
        argv = arguments(permitted, self._options.agents, work.workshop)
        env = environment(self._options, work.workshop, work.mark)
        process = await launch(self._options, argv, env, permitted.directory)
        work.session = session = Session(
            process,
            silence=self._options.silence,
            base_url=self._options.base_url,
            request_handlers={
                "can_use_tool": partial(refusal, permitted.mode),
                "hook_callback": partial(place_word, permitted),
            },
        )
        self._guard.add(session.pid)
        self._check_place(session.pid)
        return session

    def _check_place(self, pid: int) -> None:
        """A link on the way may have been changed after the path was checked: look where the process really is."""
        try:
            place = Path(psutil.Process(pid).cwd())
        except psutil.Error:
            raise UpstreamFailed("The Claude Code process ended at once.", code="runtime_failed") from None
        self._options.agents.check_place(place)

    async def _end(self, work: _Work) -> None:
        """End all that a run holds, whoever is the first to want it and whoever stops waiting for it."""
        if work.ending is None:
            work.ending = asyncio.create_task(self._clear(work), name=f"end {work.mark}")
        await asyncio.shield(work.ending)

    async def _clear(self, work: _Work) -> None:
        known: list[psutil.Process] = []
        if work.session is not None:
            known = await asyncio.to_thread(descendants, work.session.pid)
            work.session.discard()
            await work.session.exited
            self._guard.remove(work.session.pid)
        await asyncio.to_thread(end_descendants, work.mark, known)
        await asyncio.to_thread(work.workshop.remove)
        self._works.discard(work)


def _beginning(permitted: Permitted, todo: RuntimeRequest) -> JSONObject:
    made: JSONObject = {} if permitted.anything else {"hooks": HOOKS}
    return {**made, "appendSystemPrompt": todo.system} if todo.system else made
