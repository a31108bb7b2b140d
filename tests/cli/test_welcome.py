"""What `dragoman` prints without arguments, and how commands are named in hints."""

import sys
from pathlib import Path

import pytest
from background_gateway import registry
from commands import run

from dragoman.cli.instances import InstanceRecord
from dragoman.cli.terminal import as_typed


async def test_first_steps(tmp_path: Path) -> None:
    """Without a gateway it says how to start one. With one it says where it is, and what to do with it."""
    first = await run(tmp_path, added={"ANTHROPIC_API_KEY": ""})
    record = InstanceRecord(host="127.0.0.1", port=1, grace=1, arguments=())
    with registry(tmp_path).register(record):
        later = await run(tmp_path)
    assert (first.code, later.code) == (0, 0)
    assert "No gateway is running. ANTHROPIC_API_KEY is not set." in first.out
    assert "  dragoman serve --simulate  try everything: no account, no network\n" in first.out
    assert "Running: http://127.0.0.1:1/v1, dashboard http://127.0.0.1:1/dashboard\n" in later.out
    assert "dragoman connect" in later.out


def test_a_program_off_the_path_is_named_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `make` the shell does not find `dragoman`, and a hint that names it would not work."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    program = tmp_path / ".venv" / "bin" / "dragoman"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", "/nowhere")
    assert as_typed("Type `dragoman status`.") == "Type `.venv/bin/dragoman status`."
    monkeypatch.chdir("/")
    assert as_typed("`dragoman`") == f"`{program.relative_to('/')}`"
    monkeypatch.setenv("PATH", str(program.parent))
    assert as_typed("Type `dragoman status`.") == "Type `dragoman status`."
