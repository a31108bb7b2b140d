"""A process of `claude -p`: the options of the installation, the command line, the environment, and one run in it.

Nothing of a request is on the command line or in the environment: other users of the machine can read both.
"""

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from types import MappingProxyType

from dragoman.backends.claude_cli.options import ClaudeCliOptions
from dragoman.backends.claude_cli.output import Output
from dragoman.backends.claude_cli.request import CliRequest
from dragoman.backends.shared.child_process import ChildProcess
from dragoman.backends.shared.installation import environment
from dragoman.backends.shared.message_reader import OutputReader
from dragoman.core import log
from dragoman.core.errors import TimedOut, UpstreamFailed
from dragoman.core.events import Event
from dragoman.core.messages import JSONObject

STREAMING_FLAG = "--include-partial-messages"
"""The option of installations that can stream."""

_FLAG = re.compile(r"--[a-z][a-z-]+(?:\[-[a-z]+\])?")
_HELP_TIMEOUT = 30.0
_OPTIONAL_FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "--setting-sources": "--setting-sources=",
        "--strict-mcp-config": "--strict-mcp-config",
        "--no-session-persistence": "--no-session-persistence",
        "--disable-slash-commands": "--disable-slash-commands",
    }
)
"""What is passed for an option that the installation supports."""

_ALL_TOOLS = (
    "Agent,Bash,BashOutput,Edit,ExitPlanMode,Glob,Grep,KillShell,LS,MultiEdit,NotebookEdit,NotebookRead,Read,Skill,"
    "SlashCommand,Task,TodoRead,TodoWrite,WebFetch,WebSearch,Write"
)


async def read_flags(command: Path, env: Mapping[str, str], cwd: Path) -> frozenset[str]:
    """Return the options that an installation supports, by its help text.

    Raises:
        UpstreamFailed: It cannot be started, or is not a usable Claude Code.
        TimedOut: It does not end in time.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *(command, "--help"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        message = f"The Claude Code command cannot be started: {error.strerror}."
        raise UpstreamFailed(message, code="runtime_missing") from error
    try:
        async with asyncio.timeout(_HELP_TIMEOUT):
            help_text, _ = await process.communicate()
    except TimeoutError:
        raise TimedOut(f"`claude --help` did not end within {_HELP_TIMEOUT:g} seconds.") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())
    flags = parse_flags(help_text.decode(errors="replace"))
    if not {"--print", "--output-format"} <= flags:
        raise UpstreamFailed(
            "The Claude Code command is too old, or is another program: its help does not name `--output-format`. Name "
            "another one with `--claude-command`.",
            code="runtime_missing",
        )
    return flags


def parse_flags(text: str) -> frozenset[str]:
    """Return the long options in a help text. `--a[-b]` names two: `--a` and `--a-b`."""
    flags: set[str] = set()
    for flag in _FLAG.findall(text):
        short, _, suffix = flag.partition("[")
        flags |= {short, short + suffix.rstrip("]")}
    return frozenset(flags)


def build_arguments(request: CliRequest, flags: frozenset[str], system_file: Path | None) -> list[str]:
    """Return the command line after the executable.

    Args:
        request: The request.
        flags: The options that the installation supports.
        system_file: The file with the system prompt, if the installation can read one.
    """
    argv = ["--print", "--model", request.model]
    if STREAMING_FLAG in flags:
        argv += ["--output-format", "stream-json", "--verbose", STREAMING_FLAG]
    else:
        argv += ["--output-format", "json"]
    # No tools, whatever the prompt says. Old installations cannot turn all off, so each is named.
    argv += ["--tools", ""] if "--tools" in flags else ["--disallowedTools", _ALL_TOOLS]
    argv += [argument for flag, argument in _OPTIONAL_FLAGS.items() if flag in flags]
    if request.effort:
        argv += ["--effort", request.effort]
    if system_file is not None:
        argv += ["--system-prompt-file", str(system_file)]
    return argv


def build_environment(options: ClaudeCliOptions, request: CliRequest) -> dict[str, str]:
    """Return the environment of a run's process."""
    variables = environment(options) | {
        "CLAUDE_CODE_DISABLE_ATTACHMENTS": "1",
        "CLAUDE_CODE_DISABLE_THINKING": "1",
        "MAX_THINKING_TOKENS": "0",
    }
    if request.max_tokens:
        variables["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = str(request.max_tokens)
    return variables


class CliProcess:
    """The only user of a process, which answers one prompt.

    Args:
        process: A process whose `listen` was not called yet.
        reader: Reads its frames.
        output: Keeps what it prints; None for nothing.
        silence: Seconds without a frame after which the run fails.
    """

    def __init__(self, process: ChildProcess, reader: OutputReader, output: Output | None, silence: float) -> None:
        self._process = process
        self._reader = reader
        self._silence = silence
        self._events: deque[Event] = deque()
        self._changed = asyncio.Event()
        process.listen(self._on_frame, self._on_end, output.write if output is not None else None)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def run(self, prompt: str) -> AsyncGenerator[Event, None]:
        """Send the prompt, and yield the events of the response.

        Raises:
            GatewayError: The run failed.
        """
        self._process.write(prompt.encode())
        self._process.close_input()
        while True:
            while self._events:
                yield self._events.popleft()
            if self._reader.outcome != "open":
                break
            await self._wait_for_change()
        if self._reader.error is not None:
            raise self._reader.error

    async def end(self) -> None:
        """Kill the process group, and fail an open run. Returns when the process is gone. Idempotent."""
        self._process.kill()
        self._reader.process_failed("it was stopped")
        self._changed.set()
        await self._process.exited

    async def _wait_for_change(self) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(self._silence):
                await self._changed.wait()
        except TimeoutError:
            raise TimedOut(f"Claude gave no sign of life for {self._silence:g} seconds.") from None

    # Called by the process, in the event loop's read callback. An error here ends the process: see `ChildProcess`.

    def _on_frame(self, frame: JSONObject) -> None:
        self._events.extend(self._reader.feed(frame))
        if self._reader.outcome in ("spent", "failed"):
            # Kill before the runtime's next API call, which follows within some 9 ms.
            self._process.kill()
        self._changed.set()

    def _on_end(self, reason: str) -> None:
        if self._reader.outcome == "open":
            log.warning("cli.ended", pid=self.pid, reason=reason, stderr=self._process.stderr_tail)
        self._reader.process_failed(reason)
        self._changed.set()
