"""`dragoman doctor`: the real runtime passes; one that differs is found, with advice."""

import json
import shlex
import sys
from contextlib import aclosing
from importlib import import_module
from pathlib import Path

import pytest
from commands import run

from dragoman.backends.claude_code.doctor.report import TESTED_VERSION, Finding
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.shared.installation import locate
from dragoman.config.loading import load
from dragoman.wiring.claude_code import diagnose

NAMES = [
    "command",
    "version",
    "agent boundary",
    "starts",
    "system prompt",
    "parameters",
    "next turn",
    "replay",
    "transcript",
    "plain text",
    "tools",
    "one call",
    "cut answers",
    "errors",
    "sign-in",
    "processes",
]

# Another version, which reads a user's text as if it were typed into its terminal.
OTHER = """
import json, os, subprocess, sys
if "--version" in sys.argv:
    sys.exit(print("9.9.9 (Claude Code)"))
real = subprocess.Popen([{real!r}, *sys.argv[1:]], stdin=subprocess.PIPE)
for line in sys.stdin.buffer:
    frame = json.loads(line)
    frame.pop("client_composed", None)
    real.stdin.write(json.dumps(frame).encode() + b"\\n")
    real.stdin.flush()
real.stdin.close()
sys.exit(real.wait())
"""


def program(folder: Path, text: str) -> Path:
    """An executable Python program."""
    path = folder / "claude"
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -c {shlex.quote(text)} "$@"\n')
    path.chmod(0o700)
    return path


def files_in(folder: Path) -> list[str]:
    """Return the names of a folder's entries."""
    return [path.name for path in folder.iterdir()]


async def findings(executable: Path) -> dict[str, Finding]:
    """Return the findings about an executable, by name."""
    async with aclosing(diagnose(load({"claude_command": executable}, env_file=None))) as found:
        return {finding.name: finding async for finding in found}


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_missing_boundary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, accepted: bool) -> None:
    """It is a fault if agents are on, unless the operator accepts agents without one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = load({"allow_dir": (tmp_path,), "agent_boundary": not accepted}, env_file=None)
    async with aclosing(diagnose(settings)) as found:
        finding = await anext(one async for one in found if one.name == "agent boundary")
    assert finding.ok is accepted
    assert ("Off (--no-agent-boundary)" if accepted else "bubblewrap is not installed") in finding.detail


async def test_the_real_runtime_passes_every_check(tmp_path: Path) -> None:
    """Every check passes for the pinned version, through the command that users type. No file remains."""
    ended = await run(tmp_path, "doctor", "--json")
    found = json.loads(ended.out)
    assert [finding for finding in found if not finding["ok"]] == []
    assert [finding["name"] for finding in found] == NAMES
    assert (ended.code, ended.err) == (0, "")
    assert files_in(tmp_path) == []


async def test_a_runtime_that_differs_fails_one_check(tmp_path: Path) -> None:
    """Another version is reported, and exactly the check that fails for it, with the consequence."""
    real = str(locate(ClaudeCodeOptions(state_dir=tmp_path)))
    found = await findings(program(tmp_path, OTHER.format(real=real)))
    wrong = [finding for finding in found.values() if not finding.ok]
    assert [finding.name for finding in wrong] == ["version", "plain text"]
    assert "9.9.9" in found["command"].detail
    assert TESTED_VERSION in found["version"].detail
    assert "do not serve others" in found["plain text"].advice
    assert list(found) == NAMES


@pytest.mark.parametrize(
    "text", ["print('1.0'); raise SystemExit(3)", "print('{}')"], ids=["ends", "is something else"]
)
async def test_a_program_that_is_no_runtime(tmp_path: Path, text: str) -> None:
    """No further check runs if it does not start. People get advice, and scripts the exit code."""
    ended = await run(tmp_path, "doctor", "--claude-command", str(program(tmp_path, text)))
    assert ended.code == 1
    assert "✗ starts: The Claude Code process failed" in ended.out
    assert "Leave --claude-command away" in ended.out
    assert "system prompt" not in ended.out
    assert ended.err == ""


async def test_a_missing_command(tmp_path: Path) -> None:
    """The command is named, and nothing else is printed."""
    ended = await run(tmp_path, "doctor", "--claude-command", "/nowhere/claude")
    assert ended.code == 1
    assert ended.out.startswith("✗ command: /nowhere/claude: No such file or directory\n")
    assert len(ended.out.splitlines()) == 2


def test_the_tested_version_is_the_pinned_one() -> None:
    """An upgrade of the SDK with another runtime must be tested, and the constant changed."""
    assert import_module("claude_agent_sdk._cli_version").__cli_version__ == TESTED_VERSION
