"""What an installation can do: the options that its own help names."""

import asyncio
import contextlib
import re
from collections.abc import Mapping
from pathlib import Path

from dragoman.errors import TimedOut, UpstreamFailed

_FLAG = re.compile(r"--[a-z][a-z-]+(?:\[-[a-z]+\])?")
_PATIENCE = 30.0


def flags_in(text: str) -> frozenset[str]:
    """The long options that a help text names; `--a[-b]` stands for two."""
    found: set[str] = set()
    for flag in _FLAG.findall(text):
        short, _, more = flag.partition("[")
        found |= {short, short + more.rstrip("]")}
    return frozenset(found)


async def flags_of(command: Path, env: Mapping[str, str], cwd: Path) -> frozenset[str]:
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
