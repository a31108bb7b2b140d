"""Whether the runtime does what the gateway builds on: each fact tried on a scripted Messages API.

The control protocol and the replay frames are not all documented, so every fact is seen, never assumed. Nothing is
asked of Claude, and no account of the owner's is used: keys and tokens are dummies, homes are scratch directories.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from dragoman.backends.claude_code import protocol
from dragoman.backends.claude_code.doctor import checks
from dragoman.backends.claude_code.doctor.probe import Probe, ScriptedApi, Wrong
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.shared.installation import locate, prepare
from dragoman.core.errors import GatewayError

TRIED_VERSION = "2.1.329"
"""The Claude Code version that the gateway was tried with: the one that its pinned `claude-agent-sdk` carries."""

_VERSION_SECONDS = 30.0
_BOOT_SECONDS = 20.0

_REINSTALL = "Leave --claude-command away to use the version that comes with the gateway, or install the gateway anew."


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one check.

    Attributes:
        name: What was checked.
        ok: Whether it holds.
        detail: What was seen.
        advice: What to do where it does not hold.
    """

    name: str
    ok: bool
    detail: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class _Check:
    """A fact, how to see it, and what its failure means.

    Attributes:
        name: The fact in a few words.
        see: Sees it, and says what it saw; raises `Wrong` or a `GatewayError` where it does not hold.
        broken: What of the gateway does not work without it.
        needed: Whether nothing more can be seen without it.
    """

    name: str
    see: Callable[[Probe], Awaitable[str]]
    broken: str
    needed: bool = False


_CHECKS: Sequence[_Check] = (
    _Check("starts", checks.starts, "No request can be served.", needed=True),
    _Check("system prompt", checks.system_prompt, "Clients' system prompts would not reach the model."),
    _Check("parameters", checks.parameters, "Models and parameters of requests would not reach the API."),
    _Check("next turn", checks.next_turn, "Conversations would not go on as they were."),
    _Check("replay", checks.replay, "Conversations would reach the model changed."),
    _Check("plain text", checks.plain_text, "A prompt could read files of this machine: do not serve others."),
    _Check("tools", checks.tools, "Clients' tools would not work."),
    _Check("one call", checks.one_call, "Requests would cost more than they should."),
    _Check("cut answers", checks.cut_answers, "Answers cut by `max_tokens` would be paid several times."),
    _Check("errors", checks.errors, "Failures of the API would look like answers."),
    _Check("sign-in", checks.signed_in, "Do not use --signed-in."),
    _Check("processes", checks.processes, "Processes could be left behind."),
)


async def examine(options: ClaudeCodeOptions, api: ScriptedApi) -> AsyncGenerator[Finding]:
    """Try everything, and tell of each finding as it is made.

    Args:
        options: Which executable to try; nothing of the owner's account is used.
        api: What stands in for Claude.
    """
    try:
        executable = locate(options)
    except GatewayError as error:
        yield Finding("command", ok=False, detail=error.message, advice=_REINSTALL)
        return
    with TemporaryDirectory(prefix="dragoman-doctor-", ignore_cleanup_errors=True) as scratch:
        bare = _bare(options, api, Path(scratch))
        found = await _command(executable, bare)
        yield found
        if not found.ok:
            return
        yield _version(found.detail)
        async with contextlib.aclosing(_facts(Probe(bare, api))) as findings:
            async for finding in findings:
                yield finding


def _bare(options: ClaudeCodeOptions, api: ScriptedApi, scratch: Path) -> ClaudeCodeOptions:
    return replace(
        options,
        state_dir=scratch / "state",
        config_dir=None,
        api_key="sk-ant-doctor",
        base_url=api.url,
        signed_in=False,
        retries=0,
        boot_timeout=min(options.boot_timeout, _BOOT_SECONDS),
    )


async def _facts(probe: Probe) -> AsyncGenerator[Finding]:
    for check in _CHECKS:
        finding = await _see(check, probe)
        yield finding
        if check.needed and not finding.ok:
            return


async def _see(check: _Check, probe: Probe) -> Finding:
    try:
        detail = await check.see(probe)
    except (Wrong, GatewayError) as error:
        return Finding(check.name, ok=False, detail=str(error), advice=f"{check.broken} {_REINSTALL}")
    finally:
        await probe.aclose()
    return Finding(check.name, ok=True, detail=detail)


async def _command(executable: Path, options: ClaudeCodeOptions) -> Finding:
    """Ask the executable for its version, which needs no more than that it can be run."""
    work = prepare(options)
    try:
        said = await _output(executable, protocol.environment(options), work)
    except (OSError, TimeoutError) as error:
        reason = getattr(error, "strerror", None) or f"it did not tell its version in {_VERSION_SECONDS:g} seconds"
        return Finding("command", ok=False, detail=f"{executable}: {reason}", advice=_REINSTALL)
    return Finding("command", ok=True, detail=f"{executable} is {said or 'of no version that it tells'}")


async def _output(executable: Path, env: dict[str, str], work: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        executable,
        "--version",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=env,
        cwd=work,
    )
    try:
        async with asyncio.timeout(_VERSION_SECONDS):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return said.decode(errors="replace").partition("\n")[0].strip()


def _version(detail: str) -> Finding:
    if TRIED_VERSION in detail.split():
        return Finding("version", ok=True, detail=f"{TRIED_VERSION}, as tried with this gateway")
    words = f"This gateway was tried with {TRIED_VERSION}. The checks below tell what another version does."
    return Finding("version", ok=False, detail=words, advice=_REINSTALL)
