"""Runs agents, and owns their processes and all that these start."""

import asyncio
import secrets
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import structlog

from dragoman.backends.base import RunRequest
from dragoman.backends.claude_code.launch import launch
from dragoman.backends.processes import Guard
from dragoman.backends.runtime import frames
from dragoman.backends.runtime.agent.command import arguments, environment
from dragoman.backends.runtime.agent.connections import connected
from dragoman.backends.runtime.agent.permissions import HOOKS, place_word, refusal
from dragoman.backends.runtime.agent.plan import agent_plan
from dragoman.backends.runtime.agent.remains import descendants, end_remains
from dragoman.backends.runtime.agent.rules import Permitted
from dragoman.backends.runtime.agent.turn import AgentTurn
from dragoman.backends.runtime.agent.workshop import Workshop
from dragoman.backends.runtime.options import RuntimeOptions
from dragoman.backends.runtime.plan import Plan
from dragoman.backends.runtime.session import Session
from dragoman.errors import UpstreamFailed
from dragoman.events import Event, Started
from dragoman.messages import JSONObject

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
    workshop: Workshop
    session: Session | None = None
    ending: asyncio.Task[None] | None = None


class Agents:
    """Starts a process for each run, and ends it with the run."""

    def __init__(self, options: RuntimeOptions, guard: Guard, mark: str) -> None:
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
        if request.terms.agent is None:
            raise ValueError("no agent is asked for")
        permitted, todo = self._options.agents.permit(request.terms.agent), agent_plan(request)
        work = self._begin(request.id, permitted)
        began = time.perf_counter()
        try:
            session = await self._boot(permitted, work)
            booted = time.perf_counter()
            await session.begin(_beginning(permitted, todo), [], todo.settings)
            await connected(session, permitted.mcp_servers)
            configured = time.perf_counter()
            *earlier, asking = frames.replay(todo.messages, todo.model)
            await session.append(earlier)
            stages = {"process": booted - began, "configure": configured - booted}
            yield Started("agent", {**stages, "replay": time.perf_counter() - configured}, todo.notices)
            async with aclosing(session.ask(asking, sys.maxsize, AgentTurn())) as events:
                async for event in events:
                    yield event
        finally:
            await self._end(work)

    def _begin(self, run: str, permitted: Permitted) -> _Work:
        name = f"{run}-{secrets.token_hex(4)}"
        mark = f"{self._mark}/{name}"
        work = _Work(mark, Workshop(self._options.state_dir, name, permitted.mcp_servers, mark))
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
            answers={"can_use_tool": partial(refusal, permitted.mode), "hook_callback": partial(place_word, permitted)},
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
        await asyncio.to_thread(end_remains, work.mark, known)
        await asyncio.to_thread(work.workshop.remove)
        self._works.discard(work)


def _beginning(permitted: Permitted, todo: Plan) -> JSONObject:
    made: JSONObject = {} if permitted.anything else {"hooks": HOOKS}
    return {**made, "appendSystemPrompt": todo.system} if todo.system else made
