"""The command-line backend: runs each request in a process of `claude -p` of its own."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from dragoman.backends.base import RunRequest
from dragoman.backends.claude_cli.options import ClaudeCliOptions
from dragoman.backends.claude_cli.output import Output, Outputs
from dragoman.backends.claude_cli.process import (
    STREAMING_FLAG,
    CliProcess,
    build_arguments,
    build_environment,
    read_flags,
)
from dragoman.backends.claude_cli.reader import ResultReader
from dragoman.backends.claude_cli.request import CliRequest, build_request
from dragoman.backends.shared import installation, official_command
from dragoman.backends.shared.api_errors import SIGN_IN_ADVICE, refuse_agent
from dragoman.backends.shared.message_reader import MessageReader
from dragoman.backends.shared.process_guard import ProcessGuard
from dragoman.core.errors import NotSignedIn
from dragoman.core.events import Event, Started
from dragoman.core.messages import JSONObject
from dragoman.core.model_list import ListedModel
from dragoman.core.redaction import Redactor


@dataclass(slots=True, eq=False)
class _CliRun:
    """One run, and what it holds.

    Attributes:
        name: A unique name, for its files.
        creation: Creates the files. It continues in its thread if the run is cancelled.
        output: Keeps the output.
        system_file: The system prompt.
        process: Its process.
        is_complete: Whether the response is complete.
        ending: Ends the process and removes the files, once that has begun.
    """

    name: str
    creation: asyncio.Task[None] | None = None
    output: Output | None = None
    system_file: Path | None = None
    process: CliProcess | None = None
    is_complete: bool = False
    ending: asyncio.Task[None] | None = None


class ClaudeCliBackend:
    """Claude through `claude -p`. Owns every process that it starts, and their files."""

    name = "cli"

    def __init__(self, options: ClaudeCliOptions) -> None:
        self._options = options
        self._environment = installation.environment(options)
        redactor = Redactor((options.api_key or "", self._environment.get("CLAUDE_CODE_OAUTH_TOKEN", "")))
        self._outputs = Outputs(
            options.state_dir, max_runs=options.keep_most, max_age=options.keep_for, redactor=redactor
        )
        self._guard = ProcessGuard()
        self._runs: set[_CliRun] = set()
        self._flags: frozenset[str] | None = None
        self._flags_lock = asyncio.Lock()
        self._work = options.state_dir / "work"
        self._prompts = options.state_dir / "prompts"

    async def start(self) -> None:
        """Make the gateway's directories, and start the process guard."""
        await asyncio.to_thread(self._prepare_files)
        if self.ready() is None:
            await self._guard.start()

    async def aclose(self) -> None:
        """Kill and reap every process, and fail the runs."""
        await asyncio.gather(*(self._end(run) for run in list(self._runs)))
        await self._guard.aclose()

    async def run(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Run a request; see `dragoman.backends.base.Backend.run`."""
        refuse_agent(request.request_options)
        if (missing := self.ready()) is not None:
            raise NotSignedIn(missing)
        began = time.perf_counter()
        flags = await self._read_flags()
        cli_request = build_request(request, flags)
        run = _CliRun(f"{request.id}-{secrets.token_hex(4)}")
        self._runs.add(run)
        try:
            process = await self._start_process(run, cli_request, flags)
            yield Started("cli", {"process": time.perf_counter() - began}, cli_request.warnings)
            async with aclosing(process.run(cli_request.text)) as events:
                async for event in events:
                    yield event
            run.is_complete = True
        finally:
            await self._end(run)

    async def models(self) -> Sequence[ListedModel]:
        """Return nothing: the command has no list of models."""
        return ()

    def ready(self) -> str | None:
        """Return what is missing to call Claude, and what the operator can do."""
        if self._options.signed_in or self._options.api_key:
            return None
        return f"This gateway has no API key and no sign-in for Claude. {SIGN_IN_ADVICE}"

    def failures(self) -> Mapping[str, str]:
        """Return why its tasks failed; see `dragoman.core.supervise.ReportsFailures`."""
        return self._guard.failures()

    def status(self) -> JSONObject:
        """Return the kind of authentication, and the number of processes."""
        authentication = "signed_in" if self._options.signed_in else "api_key" if self._options.api_key else "none"
        return {"authentication": authentication, "processes": {"all": len(self._runs)}}

    async def inquire(self) -> JSONObject:
        """Return the command's version and the state of a sign-in; see `dragoman.backends.base.ReportsStatus`."""
        version = await official_command.version(self._options, self._environment, self._work)
        report: JSONObject = {"claude_code": version}
        if self._options.signed_in:
            report["sign_in"] = await official_command.sign_in(self._options, self._environment, self._work)
        return report

    async def _read_flags(self) -> frozenset[str]:
        """Return the options that the installation supports. Its help is read once."""
        async with self._flags_lock:
            if self._flags is None:
                command = installation.locate(self._options)
                self._flags = await read_flags(command, self._environment, self._work)
            return self._flags

    async def _start_process(self, run: _CliRun, request: CliRequest, flags: frozenset[str]) -> CliProcess:
        if "--system-prompt-file" in flags:
            # Also for an empty system prompt: without a file, the command uses a prompt of its own.
            run.system_file = installation.run_path(self._prompts, run.name)
        creation = asyncio.to_thread(self._create_files, run, request.system)
        run.creation = asyncio.create_task(creation, name=f"create {run.name}")
        await asyncio.shield(run.creation)
        argv = build_arguments(request, flags, run.system_file)
        child = await installation.launch(self._options, argv, build_environment(self._options, request), self._work)
        reader = MessageReader() if STREAMING_FLAG in flags else ResultReader(request.model)
        run.process = CliProcess(child, reader, run.output, self._options.silence)
        self._guard.add(run.process.pid)
        return run.process

    async def _end(self, run: _CliRun) -> None:
        """End everything that a run holds, once. Cancelling a caller does not stop it."""
        if run.ending is None:
            run.ending = asyncio.create_task(self._clean_up(run), name=f"end {run.name}")
        await asyncio.shield(run.ending)

    async def _clean_up(self, run: _CliRun) -> None:
        try:
            if run.process is not None:
                await run.process.end()
                self._guard.remove(run.process.pid)
            if run.creation is not None:
                await asyncio.wait([run.creation])
            if run.output is not None:
                await run.output.aclose(keep=not run.is_complete or self._options.keep == "all")
            await asyncio.to_thread(self._remove_files, run)
        finally:
            self._runs.discard(run)

    # These block, and run in a thread.

    def _prepare_files(self) -> None:
        """Make the directories, and remove what killed gateways left behind."""
        installation.prepare(self._options)
        self._outputs.prepare()
        self._prompts.mkdir(mode=0o700, exist_ok=True)
        installation.remove_stale_files(self._prompts)

    def _create_files(self, run: _CliRun, system_prompt: str) -> None:
        if self._options.keep != "off":
            run.output = self._outputs.create(run.name)
        if run.system_file is not None:
            installation.write_private(run.system_file, system_prompt)

    def _remove_files(self, run: _CliRun) -> None:
        if run.output is not None:
            self._outputs.prune()
        if run.system_file is not None:
            run.system_file.unlink(missing_ok=True)
