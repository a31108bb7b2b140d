"""What an installation can do: the options that its own help names.

The command line and the environment of `claude -p`. What people write is on neither.

One process and its answer.
"""

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import structlog

from dragoman.backends.claude_cli.options import ClaudeCliOptions
from dragoman.backends.claude_cli.output import Output
from dragoman.backends.claude_cli.request import CliRequest
from dragoman.backends.shared.child_process import ChildProcess
from dragoman.backends.shared.installation import environment
from dragoman.backends.shared.message_reader import OutputReader
from dragoman.core.errors import TimedOut, UpstreamFailed
from dragoman.core.events import Event
from dragoman.core.messages import JSONObject

_FLAG = re.compile(r"--[a-z][a-z-]+(?:\[-[a-z]+\])?")
_PATIENCE = 30.0


def flags_in(text: str) -> frozenset[str]:
    """The long options that a help text names; `--a[-b]` stands for two."""
    found: set[str] = set()
    for flag in _FLAG.findall(text):
        short, _, more = flag.partition("[")
        found |= {short, short + more.rstrip("]")}
    return frozenset(found)


async def supported_flags(command: Path, env: Mapping[str, str], cwd: Path) -> frozenset[str]:
    """Ask an installation for its help.

    Raises:
        UpstreamFailed: It cannot be started, or is no Claude Code that can be asked like this.
        TimedOut: It does not answer.
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
        words = f"The Claude Code command cannot be started: {error.strerror}."
        raise UpstreamFailed(words, code="runtime_missing") from error
    try:
        async with asyncio.timeout(_PATIENCE):
            said, _ = await process.communicate()
    except TimeoutError:
        raise TimedOut(f"`claude --help` did not end within {_PATIENCE:g} seconds.") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())
    flags = flags_in(said.decode(errors="replace"))
    if not {"--print", "--output-format"} <= flags:
        raise UpstreamFailed(
            "The Claude Code command is too old, or none: its help names no `--output-format`. Name another one with "
            "`--claude-command`.",
            code="runtime_missing",
        )
    return flags


STREAMED = "--include-partial-messages"
"""The option of installations that tell of an answer as it comes; others tell of it at its end."""

_IF_THERE = {
    "--setting-sources": ("--setting-sources=",),
    "--strict-mcp-config": ("--strict-mcp-config",),
    "--no-session-persistence": ("--no-session-persistence",),
    "--disable-slash-commands": ("--disable-slash-commands",),
}
_EVERY_TOOL = (
    "Agent,Bash,BashOutput,Edit,ExitPlanMode,Glob,Grep,KillShell,LS,MultiEdit,NotebookEdit,NotebookRead,Read,Skill,"
    "SlashCommand,Task,TodoRead,TodoWrite,WebFetch,WebSearch,Write"
)


def arguments(asked: CliRequest, flags: frozenset[str], system_file: Path | None) -> list[str]:
    """The command line behind the executable.

    Args:
        asked: What is asked.
        flags: The options that the installation has.
        system_file: Where the system prompt stands, for installations that take one from a file.
    """
    made = ["--print", "--model", asked.model]
    if STREAMED in flags:
        made += ["--output-format", "stream-json", "--verbose", STREAMED]
    else:
        made += ["--output-format", "json"]
    # No tool at all, whatever a prompt says; older ones can only be told which not.
    made += ["--tools", ""] if "--tools" in flags else ["--disallowedTools", _EVERY_TOOL]
    for flag, words in _IF_THERE.items():
        if flag in flags:
            made += words
    if asked.effort:
        made += ["--effort", asked.effort]
    if system_file is not None:
        made += ["--system-prompt-file", str(system_file)]
    return made


def environment_for(options: ClaudeCliOptions, asked: CliRequest) -> dict[str, str]:
    """The environment of a run's process."""
    made = environment(options) | {
        "CLAUDE_CODE_DISABLE_ATTACHMENTS": "1",
        "CLAUDE_CODE_DISABLE_THINKING": "1",
        "MAX_THINKING_TOKENS": "0",
    }
    if asked.max_tokens:
        made["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = str(asked.max_tokens)
    return made


log = structlog.get_logger("dragoman.cli_backend")


class CliRun:
    """The only user of a process, which answers once.

    Args:
        process: The process.
        reader: What understands its frames.
        output: Where what it prints is kept.
        silence: Seconds without a sign of life after which it is given up.
    """

    def __init__(self, process: ChildProcess, reader: OutputReader, output: Output | None, silence: float) -> None:
        self._process = process
        self._reader = reader
        self._silence = silence
        self._events: deque[Event] = deque()
        self._news = asyncio.Event()
        process.listen(self._take, self._end, output.write if output is not None else None)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def answer(self, text: str) -> AsyncGenerator[Event, None]:
        """Ask, and yield the answer's events.

        Raises:
            GatewayError: There is none.
        """
        self._process.write(text.encode())
        self._process.close_input()
        while True:
            while self._events:
                yield self._events.popleft()
            if self._reader.outcome != "open":
                break
            await self._news_or_silence()
        if self._reader.error is not None:
            raise self._reader.error

    async def end(self) -> None:
        """Kill the process, with its group. Returns when it is gone; idempotent."""
        self._process.kill()
        await asyncio.shield(self._process.exited)

    async def _news_or_silence(self) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout(self._silence):
                await self._news.wait()
        except TimeoutError:
            raise TimedOut(f"Claude gave no sign of life for {self._silence:g} seconds.") from None

    # Called by the process, in the event loop's own callback.

    def _take(self, frame: JSONObject) -> None:
        self._events.extend(self._reader.feed(frame))
        if self._reader.outcome == "spent":
            # Before it asks the API to go on, some 9 ms from here.
            self._process.kill()
        self._news.set()

    def _end(self, reason: str) -> None:
        if self._reader.outcome == "open":
            log.warning("cli.ended", pid=self.pid, reason=reason, stderr=self._process.stderr_tail)
        self._reader.process_failed(reason)
        self._news.set()
