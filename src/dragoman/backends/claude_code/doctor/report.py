"""Checks that the runtime behaves as the backend needs, each fact against a scripted Messages API.

The control protocol and the replay frames are only partly documented, so each fact is observed, never assumed. Claude
is not called, and no account of the operator's is used: keys and tokens are dummies, homes are scratch directories.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from dragoman.backends.claude_code import protocol
from dragoman.backends.claude_code.agent.boundary import Boundary
from dragoman.backends.claude_code.doctor import checks
from dragoman.backends.claude_code.doctor.probe import CheckFailed, Probe, ScriptedApi, isolated_options
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.shared.installation import locate, prepare
from dragoman.core.errors import GatewayError
from dragoman.core.value_object import value_object

TESTED_VERSION = "2.1.329"
"""The Claude Code version that the gateway was tested with: that of its pinned `claude-agent-sdk`."""

_VERSION_TIMEOUT = 30.0

_REINSTALL = "Leave --claude-command away to use the version that comes with the gateway, or reinstall the gateway."


@value_object
class Finding:
    """The result of one check.

    Attributes:
        name: What was checked.
        ok: Whether the check passed.
        detail: What was observed.
        advice: What to do if the check failed.
    """

    name: str
    ok: bool
    detail: str
    advice: str = ""


@value_object
class _Check:
    """A fact, how to check it, and what a failure means.

    Attributes:
        name: The fact in a few words.
        run: Returns what was observed. Raises `CheckFailed` or a `GatewayError` if the fact does not hold.
        consequence: What does not work in the gateway without the fact.
        required: Whether no further check makes sense without the fact.
    """

    name: str
    run: Callable[[Probe], Awaitable[str]]
    consequence: str
    required: bool = False


_CHECKS: Sequence[_Check] = (
    _Check("starts", checks.starts, "No request can be served.", required=True),
    _Check("system prompt", checks.system_prompt, "Clients' system prompts would not reach the model."),
    _Check("parameters", checks.parameters, "Models and parameters of requests would not reach the API."),
    _Check("next turn", checks.next_turn, "Conversations would not continue unchanged."),
    _Check("replay", checks.replay, "Conversations would reach the model changed."),
    _Check("transcript", checks.transcript, "Long conversations are replayed message by message, which is slower."),
    _Check("plain text", checks.plain_text, "A prompt could read files of this machine: do not serve others."),
    _Check("tools", checks.tools, "Clients' tools would not work."),
    _Check("one call", checks.one_call, "Requests would cost more than they should."),
    _Check("cut answers", checks.cut_answers, "Responses cut by `max_tokens` would be paid several times."),
    _Check("errors", checks.errors, "Failures of the API would look like responses."),
    _Check("sign-in", checks.signed_in, "Do not use --signed-in."),
    _Check("processes", checks.processes, "Processes could be left behind."),
)


async def examine(options: ClaudeCodeOptions, api: ScriptedApi) -> AsyncGenerator[Finding]:
    """Run all checks, and yield each finding at once.

    Args:
        options: Name the executable. No credentials of theirs are used.
        api: Replaces Claude.
    """
    try:
        executable = locate(options)
    except GatewayError as error:
        yield Finding("command", ok=False, detail=error.message, advice=_REINSTALL)
        return
    with TemporaryDirectory(prefix="dragoman-doctor-", ignore_cleanup_errors=True) as scratch:
        isolated = isolated_options(options, api, Path(scratch))
        command = await _check_command(executable, isolated)
        yield command
        if not command.ok:
            return
        yield _check_version(command.detail)
        yield await asyncio.to_thread(_check_boundary, options, executable)
        async with contextlib.aclosing(_check_facts(Probe(isolated, api))) as findings:
            async for finding in findings:
                yield finding


async def _check_facts(probe: Probe) -> AsyncGenerator[Finding]:
    for check in _CHECKS:
        finding = await _run_check(check, probe)
        yield finding
        if check.required and not finding.ok:
            return


async def _run_check(check: _Check, probe: Probe) -> Finding:
    try:
        detail = await check.run(probe)
    except (CheckFailed, GatewayError) as error:
        return Finding(check.name, ok=False, detail=str(error), advice=f"{check.consequence} {_REINSTALL}")
    finally:
        await probe.aclose()
    return Finding(check.name, ok=True, detail=detail)


async def _check_command(executable: Path, options: ClaudeCodeOptions) -> Finding:
    """Run the executable for its version, which needs nothing else."""
    work = prepare(options)
    try:
        version = await _output(executable, protocol.environment(options), work)
    except (OSError, TimeoutError) as error:
        reason = getattr(error, "strerror", None) or f"it did not print its version in {_VERSION_TIMEOUT:g} seconds"
        return Finding("command", ok=False, detail=f"{executable}: {reason}", advice=_REINSTALL)
    return Finding("command", ok=True, detail=f"{executable} is {version or 'of an unknown version'}")


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
        async with asyncio.timeout(_VERSION_TIMEOUT):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output.decode(errors="replace").partition("\n")[0].strip()


def _check_boundary(options: ClaudeCodeOptions, executable: Path) -> Finding:
    """Try the boundary around agents: nothing outside can be read, written or seen, and Claude Code starts in it."""
    name, agents = "agent boundary", options.agents
    if agents.directories and agents.boundary is None:
        return Finding(name, ok=True, detail="Off (--no-agent-boundary): agents can reach all that this user can")
    problem = (agents.boundary or Boundary()).find_problem([str(executable), "--version"])
    if problem is None:
        text = "It holds: agents read and write nothing outside of it, and see no other process"
        return Finding(name, ok=True, detail=text)
    if not agents.directories:
        return Finding(name, ok=True, detail=f"Agents are off. They could not run in a boundary here: {problem}")
    advice = "Agents do not start. Install bubblewrap and allow user namespaces, or set --no-agent-boundary."
    return Finding(name, ok=False, detail=problem, advice=advice)


def _check_version(detail: str) -> Finding:
    if TESTED_VERSION in detail.split():
        return Finding("version", ok=True, detail=f"{TESTED_VERSION}, as tested with this gateway")
    text = f"This gateway was tested with {TESTED_VERSION}. The checks below show what another version does."
    return Finding("version", ok=False, detail=text, advice=_REINSTALL)
