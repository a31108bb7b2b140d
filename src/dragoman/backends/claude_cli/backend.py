"""The command-line backend: a process for each run, told in text, read to its end."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

from dragoman.backends.base import RunRequest
from dragoman.backends.claude_cli.options import ClaudeCliOptions
from dragoman.backends.claude_cli.output import Output, Outputs, WholeAnswer
from dragoman.backends.claude_cli.process import STREAMED, CliRun, arguments, environment_for, supported_flags
from dragoman.backends.claude_cli.request import CliRequest, build_request
from dragoman.backends.shared import installation, official_command
from dragoman.backends.shared.api_errors import SIGN_IN_ADVICE, refuse_agent
from dragoman.backends.shared.installation import environment, launch, locate, prepare
from dragoman.backends.shared.message_reader import MessageReader
from dragoman.backends.shared.process_guard import ProcessGuard
from dragoman.core.errors import NotSignedIn
from dragoman.core.events import Event, Started
from dragoman.core.messages import JSONObject
from dragoman.core.model_list import ListedModel
from dragoman.core.redaction import Redactor


class ClaudeCliBackend:
    """Claude through `claude -p`. Owns every process it starts."""

    name = "cli"

    def __init__(self, options: ClaudeCliOptions) -> None:
        self._options = options
        secrets_held = (options.api_key or "", environment(options).get("CLAUDE_CODE_OAUTH_TOKEN", ""))
        redactor = Redactor(secrets_held)
        self._outputs = Outputs(options.state_dir, most=options.keep_most, age=options.keep_for, redactor=redactor)
        self._guard = ProcessGuard()
        self._runs: set[CliRun] = set()
        self._flags: frozenset[str] | None = None
        self._asking = asyncio.Lock()
        self._work = options.state_dir / "work"
        self._prompts = options.state_dir / "prompts"

    async def start(self) -> None:
        """Make our directories."""
        self._work = prepare(self._options)
        self._outputs.prepare()
        self._prompts.mkdir(mode=0o700, exist_ok=True)
        installation.remove_stale_files(self._prompts)
        if self._account_missing() is None:
            await self._guard.start()

    async def aclose(self) -> None:
        """Kill and reap every process."""
        await asyncio.gather(*(run.end() for run in list(self._runs)))
        await self._guard.aclose()

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Ask; see `dragoman.backends.base.Backend.run`."""
        refuse_agent(request.request_options)
        if (missing := self._account_missing()) is not None:
            raise NotSignedIn(missing)
        began = time.perf_counter()
        flags = await self._abilities()
        asked = build_request(request, flags)
        name = f"{request.id}-{secrets.token_hex(4)}"
        system_file = self._system_file(name, asked, flags)
        output = None if self._options.keep == "off" else self._outputs.begin(name)
        run: CliRun | None = None
        whole = False
        try:
            run = await self._begin(asked, flags, system_file, output)
            yield Started("cli", {"process": time.perf_counter() - began}, asked.warnings)
            async with aclosing(run.answer(asked.text)) as events:
                async for event in events:
                    yield event
            whole = True
        finally:
            if run is not None:
                await self._end(run)
            if output is not None:
                output.close(keep=not whole or self._options.keep == "all")
                self._outputs.prune()
            if system_file is not None:
                system_file.unlink(missing_ok=True)

    async def models(self) -> Sequence[ListedModel]:
        """None: the command has no list."""
        return ()

    def ready(self) -> str | None:
        """What is missing to ask Claude, and what to type."""
        return self._account_missing()

    def status(self) -> JSONObject:
        """Authentication and processes."""
        signed_in = "signed_in" if self._options.signed_in else None
        account = signed_in or ("api_key" if self._options.api_key else "none")
        return {"authentication": account, "processes": {"all": len(self._runs)}}

    async def inquire(self) -> JSONObject:
        """The command's version, and how a sign-in stands; see `dragoman.backends.base.ReportsStatus`."""
        where = self._options, environment(self._options), self._work
        told: JSONObject = {"claude_code": await official_command.version(*where)}
        if self._options.signed_in:
            told["sign_in"] = await official_command.sign_in(*where)
        return told

    def _account_missing(self) -> str | None:
        if self._options.signed_in or self._options.api_key:
            return None
        return f"This gateway has no API key and no sign-in for Claude. {SIGN_IN_ADVICE}"

    async def _abilities(self) -> frozenset[str]:
        async with self._asking:
            if self._flags is None:
                self._flags = await supported_flags(locate(self._options), environment(self._options), self._work)
            return self._flags

    def _system_file(self, name: str, asked: CliRequest, flags: frozenset[str]) -> Path | None:
        """Also where there is nothing to say: the command would say something of its own."""
        if "--system-prompt-file" not in flags:
            return None
        path = installation.run_path(self._prompts, name)
        installation.write_private(path, asked.system)
        return path

    async def _begin(
        self, asked: CliRequest, flags: frozenset[str], system_file: Path | None, output: Output | None
    ) -> CliRun:
        argv = arguments(asked, flags, system_file)
        process = await launch(self._options, argv, environment_for(self._options, asked), self._work)
        reader = MessageReader() if STREAMED in flags else WholeAnswer(asked.model)
        run = CliRun(process, reader, output, self._options.silence)
        self._runs.add(run)
        self._guard.add(run.pid)
        return run

    async def _end(self, run: CliRun) -> None:
        try:
            await run.end()
        finally:
            self._guard.remove(run.pid)
            self._runs.discard(run)
