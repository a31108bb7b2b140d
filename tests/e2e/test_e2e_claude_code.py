"""Claude Code itself as a client of the gateway: prompts, and tools of its own."""

import asyncio
import json
import os
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import pytest
from gateways import TIMEOUT, RunningGateway, gateway

from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.shared.installation import locate

MODELS = ("claude-opus-5", "claude-sonnet-5-5")


async def prompt_claude_code(folder: Path, running: RunningGateway, model: str, prompt: str) -> dict[str, object]:
    """Run a prompt in a separate Claude Code whose API is the gateway; return its JSON result."""
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
    result: dict[str, object] = json.loads(out)
    return result


@pytest.mark.parametrize("model", MODELS)
async def test_prompt_is_answered(tmp_path: Path, model: str) -> None:
    """With one call."""
    async with gateway(tmp_path) as running:
        result = await prompt_claude_code(tmp_path, running, model, "Reply with exactly: PONG")
        calls = len(running.simulator.calls)
    assert (result["is_error"], result["result"]) == (False, "PONG")
    assert calls == 1


async def test_tool_of_the_client_is_called(tmp_path: Path) -> None:
    """That Claude Code runs the tool; the result goes to the live process that waits for it."""
    note = tmp_path / "work" / "note.txt"
    note.parent.mkdir()
    note.write_text("the secret word is xylophone", encoding="utf-8")
    async with gateway(tmp_path) as running:
        prompt = f'Call Read with {{"file_path": "{note}"}}, then tell me.'
        result = await prompt_claude_code(tmp_path, running, MODELS[0], prompt)
        calls = running.simulator.calls
    assert result["is_error"] is False
    assert "xylophone" in str(result["result"])
    assert len(calls) == 2
