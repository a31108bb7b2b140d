"""Runs agents: a process and a workspace for each run, and the end of everything that they started."""

import asyncio
import secrets
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import psutil

from dragoman.backends.base import CallMeter, RunRequest
from dragoman.backends.claude_code import protocol
from dragoman.backends.claude_code.agent.boundary import has_mounted
from dragoman.backends.claude_code.agent.command_line import arguments, environment, mounts, wait_for_servers
from dragoman.backends.claude_code.agent.key_proxy import KeyProxy
from dragoman.backends.claude_code.agent.reader import AgentReader
from dragoman.backends.claude_code.agent.rules import (
    HOOKS,
    PermittedTask,
    check_before_tool,
    deny_permission,
    directory_moved,
    missing_tools,
)
from dragoman.backends.claude_code.agent.workspace import AgentWorkspace, descendants, end_descendants
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.claude_code.session import Session
from dragoman.backends.claude_code.translate import RuntimeRequest, translate_request
from dragoman.backends.shared.installation import launch
from dragoman.backends.shared.message_reader import runtime_failed
from dragoman.backends.shared.process_guard import ProcessGuard
from dragoman.core.conversation import without_thinking
from dragoman.core.errors import GatewayError
from dragoman.core.events import Event, Started
from dragoman.core.messages import JSON, JSONObject, MessagesRequest
from dragoman.core.value_object import replace
from dragoman.core.warnings import RequestWarning

_UNUSED_FIELDS = frozenset({"max_tokens", "tools", "tool_choice"})
"""Fields of a request that concern a single API call."""


@dataclass(slots=True, eq=False)
class _AgentRun:
    """One run, and what it holds.

    Attributes:
        mark: Marks its processes.
        workspace: Its files.
        calls: What is asked before each call of the model.
        creation: Creates the files. It continues in its thread if the run is cancelled.
        session: Its process.
        token: Replaces the API key.
        reserving: Reserves for the next call, where calls are not seen before they are made.
        ending: Ends the processes and removes the files, once that has begun.
    """

    mark: str
    workspace: AgentWorkspace
    calls: CallMeter | None
    creation: asyncio.Task[None] | None = None
    session: Session | None = None
    token: str | None = None
    reserving: asyncio.Task[None] | None = None
    ending: asyncio.Task[None] | None = None

    def refuse(self, error: GatewayError) -> None:
        """End the turn: no further call may be made."""
        if self.session is not None:
            self.session.fail_turn(error)

    def on_unseen_call(self, usage: JSONObject) -> None:
        """Take the end of a call that does not go through the gateway, and reserve for the next one."""
        if self.calls is not None:
            self.reserving = asyncio.create_task(self._reserve(self.calls, usage), name=f"reserve {self.mark}")

    async def _reserve(self, calls: CallMeter, usage: JSONObject) -> None:
        try:
            await calls.end_turn(usage)
        except GatewayError as error:
            self.refuse(error)


class Agents:
    """The running agents. Owns their processes, their files, and all processes that they start.

    Attributes:
        boots: How many processes of agents were started.
    """

    def __init__(
        self, options: ClaudeCodeOptions, guard: ProcessGuard, mark: str, on_plan_limits: Callable[[JSON], None]
    ) -> None:
        """Prepare without starting anything.

        Args:
            options: The backend's options, with the rules for agents.
            guard: Kills the processes if the gateway is killed.
            mark: Distinguishes this gateway's agents from those of others.
            on_plan_limits: See `Session`.
        """
        self._options = options
        self._guard = guard
        self._mark = mark
        self._on_plan_limits = on_plan_limits
        self.boots = 0
        self._runs: set[_AgentRun] = set()
        self._key_proxy = None
        if options.api_key and not options.signed_in:
            self._key_proxy = KeyProxy(options.api_key, options.base_url, options.silence)

    def __len__(self) -> int:
        """The number of running agents."""
        return len(self._runs)

    async def aclose(self) -> None:
        """End all agents. Idempotent."""
        await asyncio.gather(*(self._end(run) for run in list(self._runs)))
        if self._key_proxy is not None:
            await self._key_proxy.aclose()

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Run an agent; see `dragoman.backends.base.Backend.run`.

        Raises:
            Forbidden: The operator's rules do not allow the task.
            GatewayError: The request is invalid, or the run failed.
        """
        if request.request_options.agent is None:
            raise ValueError("the request is not for an agent")
        task = await asyncio.to_thread(self._options.agents.permit, request.request_options.agent)
        translated = translate_task(request)
        run = self._add_run(request.id, task, request.calls)
        began = time.perf_counter()
        try:
            session = await self._boot(task, run)
            booted = time.perf_counter()
            await session.initialize(_initial_prompt(task, translated), [], translated.settings)
            await self._check_place(session.pid, task)
            await wait_for_servers(session, task.mcp_servers)
            configured = time.perf_counter()
            *earlier, last = protocol.replay_batches(translated.messages, translated.model)
            await session.append(earlier)
            stages = {"process": booted - began, "configure": configured - booted}
            warnings = (*translated.warnings, *missing_tools(task))
            yield Started("agent", {**stages, "replay": time.perf_counter() - configured}, warnings)
            reader = AgentReader(on_call=None if self._key_proxy else run.on_unseen_call)
            async with aclosing(session.run_turn(last, sys.maxsize, reader)) as events:
                async for event in events:
                    yield event
        finally:
            await self._end(run)

    def _add_run(self, run_id: str, task: PermittedTask, calls: CallMeter | None) -> _AgentRun:
        name = f"{run_id}-{secrets.token_hex(4)}"
        mark = f"{self._mark}/{name}"
        run = _AgentRun(mark, AgentWorkspace(self._options.state_dir, name, task.mcp_servers, mark), calls)
        self._runs.add(run)
        return run

    async def _boot(self, task: PermittedTask, run: _AgentRun) -> Session:
        """Create the workspace and start the process."""
        run.creation = asyncio.create_task(asyncio.to_thread(run.workspace.create), name=f"create {run.mark}")
        await asyncio.shield(run.creation)
        api = None
        if self._key_proxy is not None:
            run.token = await self._key_proxy.add_token(run.calls, run.refuse)
            api = self._key_proxy.url, run.token
        options, rules = self._options, self._options.agents
        env = environment(options, run.workspace, run.mark, api)
        prefix: list[str] = []
        if rules.boundary is not None:
            shown = mounts(options, run.workspace, task, env)
            prefix = await asyncio.to_thread(rules.boundary.prefix, shown, env)
        process = await launch(options, arguments(task, rules, run.workspace), env, task.directory, prefix)
        self.boots += 1
        run.session = session = Session(
            process,
            silence=options.silence,
            base_url=api[0] if api else options.base_url,
            request_handlers={
                "can_use_tool": partial(deny_permission, task.mode),
                "hook_callback": partial(check_before_tool, task),
            },
            on_plan_limits=self._on_plan_limits,
        )
        self._guard.add(session.pid)
        return session

    async def _check_place(self, pid: int, task: PermittedTask) -> None:
        """Check where a started process really is: a link in a path may have changed after the rules were checked."""
        rules = self._options.agents
        try:
            if rules.boundary is None:
                rules.check_directory(Path(psutil.Process(pid).cwd()))
            elif not await asyncio.to_thread(has_mounted, pid, (task.directory, *task.add_dirs)):
                raise directory_moved()
        except psutil.Error:
            raise runtime_failed("it ended at once") from None
        except OSError:
            raise directory_moved() from None

    async def _end(self, run: _AgentRun) -> None:
        """End everything that a run holds, once. Cancelling a caller does not stop it."""
        if run.ending is None:
            run.ending = asyncio.create_task(self._clean_up(run), name=f"end {run.mark}")
        await asyncio.shield(run.ending)

    async def _clean_up(self, run: _AgentRun) -> None:
        try:
            known: list[psutil.Process] = []
            if run.reserving is not None:
                run.reserving.cancel()
                await asyncio.wait([run.reserving])
            if run.session is not None:
                known = await asyncio.to_thread(descendants, run.session.pid)
                run.session.discard()
                await run.session.exited
                self._guard.remove(run.session.pid)
            if self._key_proxy is not None and run.token is not None:
                self._key_proxy.remove_token(run.token)
            await asyncio.to_thread(end_descendants, run.mark, known)
            if run.creation is not None:
                await asyncio.wait([run.creation])
            await asyncio.to_thread(run.workspace.remove)
        finally:
            self._runs.discard(run)


def translate_task(request: RunRequest) -> RuntimeRequest:
    """Translate an agent's request like any other, without the fields that concern a single API call.

    Raises:
        GatewayError: As `translate_request` does.
    """
    body = {key: value for key, value in request.body.items() if key not in _UNUSED_FIELDS}
    # Thinking is valid only after the same prompt, and an agent's prompt differs from the client's.
    body["messages"] = without_thinking(request.body["messages"])
    translated = translate_request(replace(request, body=cast("MessagesRequest", body)))
    if "max_tokens" not in request.body:
        return translated
    detail = "An agent's run is limited by `claude.max_turns` and `claude.max_budget_usd` instead."
    return replace(translated, warnings=(*translated.warnings, RequestWarning("ignored", "max_tokens", detail)))


def _initial_prompt(task: PermittedTask, request: RuntimeRequest) -> JSONObject:
    fields: JSONObject = {} if task.is_unrestricted else {"hooks": HOOKS}
    return {**fields, "appendSystemPrompt": request.system} if request.system else fields
