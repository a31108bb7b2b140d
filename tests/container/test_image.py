"""The image without a container engine: its own steps, an ordinary user, a root that cannot be written to."""

import asyncio
import os
import signal
from pathlib import Path

import httpx
import pytest
from image import TIMEOUT, USER, container, environment, obstacle, said

REASON = obstacle()
QUESTION = {"model": "sonnet", "messages": [{"role": "user", "content": "Reply with exactly: PONG"}]}


@pytest.mark.skipif(REASON is not None, reason=str(REASON))
async def test_the_image(tmp_path: Path) -> None:
    """Installed by its own steps it answers, is healthy, writes to its volumes alone, and stops when told."""
    key = {"DRAGOMAN_API_KEY": "the-key"}
    async with container(tmp_path, "serve", "--simulate", "-p", "0", **key) as inside:
        address = await inside.address()
        port = address.removesuffix("/v1").rpartition(":")[2]
        async with httpx.AsyncClient(base_url=address, headers={"x-api-key": "the-key"}, timeout=TIMEOUT) as http:
            answer = await http.post("/chat/completions", json=QUESTION)
        assert answer.json()["choices"][0]["message"]["content"] == "PONG"
        code, words = await inside.run("dragoman", "status", DRAGOMAN_PORT=port, **key)
        assert code == 0, words
        assert await inside.run("id", "-u") == (0, f"{USER}\n")
        assert await inside.run("sh", "-c", "echo > /state/x && echo > /sign-in/x && echo > /workspace/x") == (0, "")
        for place in ("/opt/dragoman/x", "/etc/x", "/x"):
            assert (await inside.run("touch", place))[0] == 1
        code, words = await inside.run("dragoman", "serve")
        assert (code, "DRAGOMAN_API_KEY_FILE" in words) == (1, True)
        assert (await inside.run("/opt/dragoman/bin/python", "-m", "pip"))[0] == 1
        os.kill(inside.pid, signal.SIGTERM)
        assert await asyncio.wait_for(inside.process.wait(), TIMEOUT) == 0


def test_what_the_image_is_told() -> None:
    """It runs as the user that the steps make, by the command alone, so that signals reach the gateway."""
    assert said("USER") == ["${USER_ID}:${GROUP_ID}"]
    assert said("ENTRYPOINT") == ['["dragoman"]']
    assert said("CMD") == ['["serve"]']
    assert environment()["DRAGOMAN_HOST"] == "0.0.0.0"  # noqa: S104 - in there
