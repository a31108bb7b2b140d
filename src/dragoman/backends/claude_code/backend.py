"""The Claude Code backend: runs each request in a runtime process, and keeps the process for the next turn."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress

import psutil

from dragoman.backends.base import RunRequest
from dragoman.backends.claude_code import protocol
from dragoman.backends.claude_code.agent.runner import Agents
from dragoman.backends.claude_code.agent.workspace import FOLDER as AGENT_FOLDER
from dragoman.backends.claude_code.agent.workspace import MARK
from dragoman.backends.claude_code.count_tokens import TokenCounter
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.claude_code.plan_limits import PlanLimits
from dragoman.backends.claude_code.pool import LiveProcesses
from dragoman.backends.claude_code.processes import Processes
from dragoman.backends.claude_code.session import Session, Spoiled
from dragoman.backends.claude_code.sign_in import SignIn
from dragoman.backends.claude_code.translate import RuntimeRequest, translate_request
from dragoman.backends.claude_code.turn import Turn
from dragoman.backends.shared import official_command
from dragoman.backends.shared.api_errors import SIGN_IN_ADVICE
from dragoman.backends.shared.installation import prepare, remove_stale_files
from dragoman.backends.shared.process_guard import ProcessGuard
from dragoman.backends.shared.runtime_errors import sign_in_refused
from dragoman.core.accumulate import MessageAccumulator
from dragoman.core.errors import NotSignedIn, UpstreamFailed
from dragoman.core.events import Event, Path, Started
from dragoman.core.messages import FinalMessage, JSONObject
from dragoman.core.model_list import ListedModel
from dragoman.core.supervise import failures_of


class ClaudeCodeBackend:
    """Claude through Claude Code. Owns every process that it starts."""

    name = "runtime"

    def __init__(self, options: ClaudeCodeOptions) -> None:
        self._options = options
        self._environment = protocol.environment(options)
        self._work = options.state_dir / "work"
        self._live = LiveProcesses(max_count=options.max_live, max_memory=options.max_memory, memory_of=_resident_bytes)
        mark = secrets.token_hex(8)
        self._guard = ProcessGuard(f"{MARK}={mark}/")
        self._plan_limits = PlanLimits()
        self._agents = Agents(options, self._guard, mark, self._plan_limits.note)
        self._processes = Processes(options, self._environment, self._work, self._guard, self._plan_limits.note)
        self._sessions = self._processes.sessions
        self._sign_in = SignIn(self._read_sign_in, self._drop_idle_processes, self._processes.resume)
        self._token_counter = TokenCounter(options)

    async def start(self) -> None:
        """Make the gateway's directories and begin to boot warm processes."""
        await asyncio.to_thread(self._prepare_files)
        if self._missing_credentials() is None:
            await self._guard.start()
            self._processes.start()

    async def aclose(self) -> None:
        """Kill and reap every process."""
        await self._sign_in.aclose()
        await self._agents.aclose()
        self._live.clear()
        await self._processes.aclose()
        await self._token_counter.aclose()
        await self._guard.aclose()

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Run a request; see `dragoman.backends.base.Backend.run`."""
        self._check_credentials()
        running = self._agents.run(request) if request.request_options.agent is not None else self._run(request)
        try:
            async with aclosing(running) as events:
                async for event in events:
                    yield event
        except NotSignedIn:
            if self._options.signed_in:
                self._sign_in.refused()
                raise NotSignedIn(sign_in_refused(self._environment)) from None
            raise
        self._sign_in.accepted()

    async def _run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        runtime_request = translate_request(request)
        with suppress(Spoiled):  # the API was not called, and no event was yielded: another process takes its place
            async with aclosing(self._run_turn(runtime_request)) as events:
                async for event in events:
                    yield event
                return
        async with aclosing(self._run_turn(runtime_request)) as events:
            async for event in events:
                yield event

    async def _run_turn(self, runtime_request: RuntimeRequest) -> AsyncGenerator[Event, None]:
        session, turn, started = await self._prepare_turn(runtime_request)
        keep = False
        try:
            yield started
            accumulator = MessageAccumulator()
            async with aclosing(turn.events()) as events:
                async for event in events:
                    self._processes.touch()
                    accumulator.add(event)
                    yield event
            if session.alive and not runtime_request.one_call:
                keep = self._keep(session, runtime_request, accumulator.result().message)
        finally:
            if not keep:
                await self._end(session)

    async def _prepare_turn(self, request: RuntimeRequest) -> tuple[Session, Turn, Started]:
        """Return a process that lacks only the last message.

        An idle process may have died unnoticed. No API call was made yet, so another process takes its place.
        """
        by_transcript = self._processes.takes_transcripts
        while True:
            began = time.perf_counter()
            session, path = await self._take_process(request, by_transcript=by_transcript)
            process_seconds = time.perf_counter() - began
            try:
                reminders = await self._processes.reminders(request.model, session)
                turn = Turn(request, session, live=path == "live", reminders=reminders)
                stages = {"process": process_seconds, **await turn.prepare()}
            except UpstreamFailed:
                died = not session.alive
                await self._end(session)
                if path == "cold" or not died:
                    raise
                by_transcript = False
            except BaseException:
                await self._end(session)
                raise
            else:
                return session, turn, Started(path, stages, request.warnings)

    async def _take_process(self, request: RuntimeRequest, *, by_transcript: bool) -> tuple[Session, Path]:
        """Return the live process of the conversation, else a process that can take all of it."""
        conversation = None if request.one_call else request.conversation
        if conversation is not None and (session := self._live.take(conversation)):
            self._processes.touch()
            return session, "live"
        count = len(request.messages) if by_transcript else 0
        return await self._processes.take(request.model, request.prompt, one_call=request.one_call, count=count)

    def _keep(self, session: Session, request: RuntimeRequest, message: FinalMessage) -> bool:
        """Keep the process for the conversation's next turn, if it holds the whole conversation."""
        if (conversation := request.conversation_after(message["content"])) is None:
            return False
        is_parked = message["stop_reason"] == "tool_use"
        ttl = self._options.parked_ttl if is_parked else self._options.live_ttl
        self._live.put(conversation, session, ttl)
        return True

    async def _end(self, session: Session) -> None:
        session.discard()
        await asyncio.shield(session.exited)

    def _prepare_files(self) -> None:
        """Make the directories, and delete what killed gateways left behind. Blocks."""
        prepare(self._options)
        remove_stale_files(self._options.state_dir / AGENT_FOLDER)
        self._processes.delete_stale_files()

    async def count_tokens(self, request: RunRequest) -> JSONObject:
        """Return the API's own count; see `dragoman.backends.base.CountsTokens`."""
        self._check_credentials()
        return await self._token_counter.count(request)

    def conversation_of(self, request: RunRequest) -> str | None:
        """Return the name of a conversation; see `dragoman.backends.base.HoldsConversations`."""
        if request.request_options.agent is not None:
            return None
        translated = translate_request(request)
        return None if translated.one_call else translated.conversation

    def on_held(self, report: Callable[[str, bool], None]) -> None:
        """Report which conversations live processes hold; see `dragoman.backends.base.HoldsConversations`."""
        self._live.on_held = report

    async def models(self) -> Sequence[ListedModel]:
        """Return the models that the process booted last has listed."""
        self._check_credentials()
        return self._processes.models

    def ready(self) -> str | None:
        """Return why a run would fail now, and what the operator can do; None if it would not."""
        return (
            self._missing_credentials()
            or (sign_in_refused(self._environment) if not self._sign_in.usable() else None)
            or self._processes.failure
        )

    def failures(self) -> Mapping[str, str]:
        """Return why its tasks failed; see `dragoman.core.supervise.ReportsFailures`."""
        return failures_of(self._processes, self._sign_in, self._guard)

    async def inquire(self) -> JSONObject:
        """Return the runtime's version and the state of a sign-in; see `dragoman.backends.base.ReportsStatus`."""
        version = await official_command.version(self._options, self._environment, self._work)
        report: JSONObject = {"claude_code": version}
        if self._options.signed_in:
            report["sign_in"] = {**await self._sign_in.check(), "refused_since": self._sign_in.refused_since}
        return report

    def status(self) -> JSONObject:
        """Return the kind of authentication, the number of processes, and with a sign-in the limits of its plan."""
        authentication = "signed_in" if self._options.signed_in else "api_key" if self._options.api_key else "none"
        return {
            "authentication": authentication,
            "boots": self._processes.boots + self._agents.boots,
            **({"plan": self._plan_limits.report()} if self._options.signed_in else {}),
            "processes": {
                "spare": len(self._processes),
                "live": len(self._live),
                "agents": len(self._agents),
                "all": len(self._sessions) + len(self._agents),
            },
        }

    async def _read_sign_in(self) -> JSONObject:
        return await official_command.sign_in(self._options, self._environment, self._work)

    def _drop_idle_processes(self) -> None:
        """Discard the processes that hold an unusable sign-in. New processes read it again."""
        self._processes.pause()
        self._live.clear()

    def _missing_credentials(self) -> str | None:
        if self._options.signed_in or self._options.api_key:
            return None
        return f"This gateway has no API key and no sign-in for Claude. {SIGN_IN_ADVICE}"

    def _check_credentials(self) -> None:
        if (missing := self._missing_credentials()) is not None:
            raise NotSignedIn(missing)


def _resident_bytes(pid: int) -> int:
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0
