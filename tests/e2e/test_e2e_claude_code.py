"""Claude Code itself as a client of the gateway: it asks, calls its own tools and goes on."""

import asyncio
import json
import os
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import pytest
from gateways import TIMEOUT, Running, gateway

from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.shared.installation import locate

MODELS = ("claude-opus-5", "claude-sonnet-5-5")


async def ask(folder: Path, running: Running, model: str, prompt: str) -> dict[str, object]:
    """Type a question into a Claude Code of somebody's own, whose API is the gateway."""
    home, work = folder / "home", folder / "work"
    home.mkdir()
    work.mkdir(exist_ok=True)
    program = locate(ClaudeCodeOptions(state_dir=folder))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "ANTHROPIC_BASE_URL": running.url,
        "ANTHROPIC_API_KEY": "sk-ant-dummy",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    arguments = ("-p", prompt, "--model", model, "--output-format", "json", "--allowedTools", "Read")
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdin=DEVNULL, stdout=PIPE, cwd=work, env=environment
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), TIMEOUT)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    told: dict[str, object] = json.loads(out)
    return told


@pytest.mark.parametrize("model", MODELS)
async def test_answer(tmp_path: Path, model: str) -> None:
    """A question is answered, by one call."""
    async with gateway(tmp_path) as running:
        told = await ask(tmp_path, running, model, "Reply with exactly: PONG")
        calls = len(running.simulator.calls)
    assert (told["is_error"], told["result"]) == (False, "PONG")
    assert calls == 1


async def test_its_own_tools(tmp_path: Path) -> None:
    """The model calls a tool of that Claude Code, which runs there; its result goes back into the parked call."""
    note = tmp_path / "work" / "note.txt"
    note.parent.mkdir()
    note.write_text("the secret word is xylophone", encoding="utf-8")
    async with gateway(tmp_path) as running:
        prompt = f'Call Read with {{"file_path": "{note}"}}, then tell me.'
        told = await ask(tmp_path, running, MODELS[0], prompt)
        calls = running.simulator.calls
    assert told["is_error"] is False
    assert "xylophone" in str(told["result"])
    assert len(calls) == 2
