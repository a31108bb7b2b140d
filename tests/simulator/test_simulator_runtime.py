"""The real Claude Code runtime with the simulator: every request that it sends is accepted at once."""

import asyncio
import importlib.util
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dragoman.simulator.server import Simulator

FLAGS = (
    *("--output-format", "stream-json", "--input-format", "stream-json", "--verbose", "--include-partial-messages"),
    *("--setting-sources=", "--strict-mcp-config", "--no-session-persistence", "--tools"),
)
KEY = {"CLAUDE_CODE_SIMPLE": "1", "ANTHROPIC_API_KEY": "sk-dummy"}
SIGNED_IN = {"CLAUDE_CODE_OAUTH_TOKEN": "dummy"}


def runtime() -> str:
    """Return the binary that is bundled with the SDK. Skip the test without it."""
    spec = importlib.util.find_spec("claude_agent_sdk")
    binary = Path(spec.origin or "").parent / "_bundled" / "claude" if spec else Path("/nowhere")
    if not binary.exists():
        pytest.skip("the Claude Code runtime is not bundled here")
    return str(binary)


class Session:
    """A running process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def send(self, frame: dict[str, Any]) -> dict[str, Any]:
        """Write a frame, and read to its result or control response."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(frame).encode() + b"\n")
        await self._process.stdin.drain()
        async for line in self._process.stdout:
            read: dict[str, Any] = json.loads(line)
            if read["type"] in ("result", "control_response"):
                return read
        pytest.fail("the runtime ended")

    async def ask(self, text: str) -> dict[str, Any]:
        """Run one turn."""
        message = {"role": "user", "content": text}
        return await self.send({"type": "user", "message": message, "session_id": "default", "client_composed": True})


@asynccontextmanager
async def session(
    simulator: Simulator, home: Path, model: str, secrets: dict[str, str], **initialize: Any
) -> AsyncIterator[Session]:
    """Start the runtime with a minimal environment, in which only the simulator is its API."""
    process = await asyncio.create_subprocess_exec(
        runtime(),
        *(*FLAGS, "", "--model", model),
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "CLAUDE_CONFIG_DIR": str(home / "config"),
            "ANTHROPIC_BASE_URL": simulator.url,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            **secrets,
        },
        cwd=home,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    try:
        opened = Session(process)
        request = {"subtype": "initialize", "systemPrompt": "You are terse.", **initialize}
        await opened.send({"type": "control_request", "request_id": "1", "request": request})
        yield opened
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("secrets", [KEY, SIGNED_IN], ids=["key", "signed-in"])
@pytest.mark.parametrize(
    "model",
    ["claude-sonnet-4-5", "claude-opus-5", "claude-opus-5-5"],
)
async def test_two_turns_are_two_calls(
    simulator: Simulator, tmp_path: Path, model: str, secrets: dict[str, str]
) -> None:
    """The second turn sends the thinking back, and it is accepted. There are no further calls."""
    async with session(simulator, tmp_path, model, secrets) as runtime_:
        first = await runtime_.ask("Please think, then reply with exactly: one")
        second = await runtime_.ask("Reply with exactly: two")
    assert (first["result"], second["result"]) == ("one", "two")
    assert [(received.status, received.body["model"]) for received in simulator.received] == [(200, model)] * 2


async def test_json_schema(simulator: Simulator, tmp_path: Path) -> None:
    """With `jsonSchema` the runtime offers `StructuredOutput`, and the simulator calls it."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    async with session(simulator, tmp_path, "claude-opus-5-5", KEY, jsonSchema=schema) as runtime_:
        answer = await runtime_.ask('The city is "Oslo".')
    assert answer["structured_output"] == {"city": "Oslo"}


async def test_error_reaches_the_runtime(simulator: Simulator, tmp_path: Path) -> None:
    """The runtime understands the format of the error."""
    async with session(simulator, tmp_path, "claude-sonnet-4-5", KEY) as runtime_:
        answer = await runtime_.ask(
            "Simulate: status 400 invalid_request_error: prompt is too long: 2 tokens > 1 maximum"
        )
    assert answer["is_error"]
    assert "too long" in answer["result"].lower()
