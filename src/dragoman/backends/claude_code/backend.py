"""The runtime backend: plans a request, finds or makes the process for it, asks, and keeps the process for later."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import cast

import psutil
import structlog

from dragoman.backends.base import RunRequest
from dragoman.backends.claude_code import count_tokens as counting
from dragoman.backends.claude_code import protocol
from dragoman.backends.claude_code.agent import workspace
from dragoman.backends.claude_code.agent.agents import Agents
from dragoman.backends.claude_code.agent.process_cleanup import MARK
from dragoman.backends.claude_code.options import ClaudeCodeOptions, log_start, trace_process
from dragoman.backends.claude_code.pool import Conversation, LiveProcesses, PoolKey, WarmPool
from dragoman.backends.claude_code.protocol import settings_for
from dragoman.backends.claude_code.session import Session
from dragoman.backends.claude_code.sign_in import SignIn
from dragoman.backends.claude_code.transcript import Transcripts, TranscriptSeeds
from dragoman.backends.claude_code.translate import RuntimeRequest, translate_request
from dragoman.backends.shared import official_command
from dragoman.backends.shared.api_errors import SIGN_IN_ADVICE
from dragoman.backends.shared.claude_errors import refused_words
from dragoman.backends.shared.installation import launch, prepare, remove_stale_files
from dragoman.backends.shared.process_guard import Guard
from dragoman.core.accumulate import MessageAccumulator
from dragoman.core.catalog import Catalog
from dragoman.core.errors import NotFound, NotSignedIn, UpstreamFailed
from dragoman.core.events import Event, Path, Started
from dragoman.core.messages import FinalMessage, JSONObject
from dragoman.core.model_list import ListedModel

log = structlog.get_logger("dragoman.runtime")


class ClaudeCodeBackend:
    """Claude through Claude Code. Owns every process it starts."""

    name = "runtime"

    def __init__(self, options: ClaudeCodeOptions) -> None:
        self._options = options
        self._pool = WarmPool(self._boot, options.spares)
        self._live = LiveProcesses(count=options.max_live, memory=options.max_memory, resident=_resident)
        self._sessions: set[Session] = set()
        mark = secrets.token_hex(8)
        self._guard = Guard(f"{MARK}={mark}/")
        self._agents = Agents(options, self._guard, mark)
        self._environment = protocol.environment(options)
        self._notes = Transcripts(self._environment, ours=not options.signed_in and options.config_dir is None)
        self._work = options.state_dir / "work"
        self._seeds = TranscriptSeeds(options, self._work)
        self._listed: list[ListedModel] = []
        self._sign_in = SignIn(self._asked_official, self._let_go, self._pool.resume)

    async def start(self) -> None:
        """Make our directories and begin to boot spares."""
        self._work = prepare(self._options)
        remove_stale_files(self._options.state_dir / workspace.FOLDER)
        self._notes.sweep()
        if self._account_missing() is None:
            await self._guard.start()
            self._pool.start(self._kind(self._options.default_model))

    async def aclose(self) -> None:
        """Kill and reap every process."""
        await self._sign_in.aclose()
        await self._agents.aclose()
        await self._pool.aclose()
        self._live.clear()
        for session in self._sessions:
            session.discard()
        if self._sessions:
            await asyncio.wait([session.exited for session in self._sessions])
        await self._guard.aclose()

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Ask; see `dragoman.backends.base.Backend.run`."""
        self._check_account()
        asked = self._agents.run(request) if request.request_options.agent is not None else self._answer(request)
        try:
            async with aclosing(asked) as events:
                async for event in events:
                    yield event
        except NotSignedIn:
            if self._options.signed_in:
                self._sign_in.refused()
                raise NotSignedIn(refused_words(self._environment)) from None
            raise
        self._sign_in.accepted()

    async def count_tokens(self, request: RunRequest) -> JSONObject:
        """The API's own count; see `dragoman.backends.base.CountsTokens`."""
        self._check_account()
        return await counting.count_tokens(request, self._options)

    async def models(self) -> Sequence[ListedModel]:
        """The models that the runtime offers its user, as the last booted process listed them."""
        self._check_account()
        return self._listed

    def ready(self) -> str | None:
        """What is missing to ask Claude, and what to type."""
        return (
            self._account_missing()
            or (refused_words(self._environment) if not self._sign_in.usable() else None)
            or self._pool.trouble
        )

    async def inquire(self) -> JSONObject:
        """The runtime's version, and how a sign-in stands; see `dragoman.backends.base.ReportsStatus`."""
        told: JSONObject = {"claude_code": await official_command.version(self._options, self._environment, self._work)}
        if self._options.signed_in:
            told["sign_in"] = {**await self._sign_in.look(), "refused_since": self._sign_in.refused_since}
        return told

    def status(self) -> JSONObject:
        """Authentication, processes and version."""
        return {
            "authentication": self._authentication(),
            "processes": {
                "spare": self._pool.ready,
                "live": len(self._live),
                "agents": len(self._agents),
                "all": len(self._sessions) + len(self._agents),
            },
        }

    def _let_go(self) -> None:
        """Of all processes that hold a sign-in which is of no use; those that are started from now on read it anew."""
        self._pool.pause()
        self._live.clear()

    async def _asked_official(self) -> JSONObject:
        return await official_command.sign_in(self._options, self._environment, self._work)

    def _authentication(self) -> str:
        if self._options.signed_in:
            return "signed_in"
        return "api_key" if self._options.api_key else "none"

    def _account_missing(self) -> str | None:
        if self._options.signed_in or self._options.api_key:
            return None
        return f"This gateway has no API key and no sign-in for Claude. {SIGN_IN_ADVICE}"

    def _check_account(self) -> None:
        if (missing := self._account_missing()) is not None:
            raise NotSignedIn(missing)

    async def _answer(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        todo = translate_request(request)
        session, conversation, started = await self._ready(todo)
        kept = False
        try:
            yield started
            folder = MessageAccumulator()
            async with aclosing(conversation.answer()) as events:
                async for event in events:
                    self._pool.touch()
                    folder.add(event)
                    yield event
            if session.alive and not todo.one_call:
                self._keep(session, todo, folder.result().message)
                kept = True
        finally:
            if not kept:
                await self._end(session)

    async def _ready(self, todo: RuntimeRequest) -> tuple[Session, Conversation, Started]:
        """A process that lacks the question alone.

        Claude was not asked yet, so where one died in its idleness and nobody had noticed, another takes its place.
        """
        while True:
            began = time.perf_counter()
            session, path = await self._session_for(todo)
            waited = time.perf_counter() - began
            conversation = Conversation(todo, session, live=path == "live")
            try:
                stages = {"process": waited, **await conversation.prepare()}
            except UpstreamFailed:
                died = not session.alive
                await self._end(session)
                if path == "cold" or not died:
                    raise
            except BaseException:
                await self._end(session)
                raise
            else:
                return session, conversation, Started(path, stages, todo.warnings)

    async def _session_for(self, todo: RuntimeRequest) -> tuple[Session, Path]:
        self._pool.touch()
        if not todo.one_call and todo.held and (session := self._live.take(todo.held)):
            return session, "live"
        return await self._pool.take(self._kind(todo.model, one_call=todo.one_call))

    def _keep(self, session: Session, todo: RuntimeRequest, message: FinalMessage) -> None:
        parked = message["stop_reason"] == "tool_use"
        ttl = self._options.parked_ttl if parked else self._options.live_ttl
        self._live.put(todo.after(message["content"]), session, ttl)

    def _kind(self, model: str, *, one_call: bool = False) -> PoolKey:
        if not self._options.signed_in:
            return PoolKey(one_call)
        return PoolKey(one_call, model, datetime.now().astimezone().date())

    async def _boot(self, kind: PoolKey) -> Session:
        argv = [*protocol.arguments(one_call=kind.one_call)]
        if kind.model is not None and kind.day is not None:
            argv += await self._seeds.arguments(kind.model, kind.day)
        process = await launch(self._options, argv, self._environment, self._work)
        log_start(process, argv)
        session = Session(process, silence=self._options.silence, base_url=self._options.base_url)
        if self._options.trace:
            trace_process(process)
        self._sessions.add(session)
        self._guard.add(session.pid)
        session.exited.add_done_callback(lambda _: self._forget(session))
        try:
            # Answered once the process is up.
            self._listed = _listed(await session.control("list_models", {}, self._options.boot_timeout))
            # What the first request is likely to need: set now, it is 20 ms sooner at its first token.
            await session.configure(_likely_settings(kind.model or self._options.default_model))
        except BaseException:
            session.discard()
            raise
        return session

    def _forget(self, session: Session) -> None:
        self._sessions.discard(session)
        self._guard.remove(session.pid)
        self._notes.remove(session.pid)

    async def _end(self, session: Session) -> None:
        session.discard()
        await asyncio.shield(session.exited)


def _likely_settings(model: str) -> JSONObject:
    try:
        return settings_for({}, Catalog().resolve(model).model)
    except NotFound:
        # A model that only the provider's live list knows.
        return {"model": model}


def _listed(answer: JSONObject) -> list[ListedModel]:
    models = cast("list[JSONObject]", answer.get("models") or [])
    # An entry's own name may be "Default (recommended)"; the id tells more.
    return list(dict.fromkeys(ListedModel(str(m["resolvedModel"]), "") for m in models if m.get("resolvedModel")))


def _resident(pid: int) -> int:
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0
