"""The image without a container engine: its own steps, an unprivileged user and a read-only root.

Where there is an engine, `test_podman.py` shows the same with it.
"""

import asyncio
import os
import signal
from pathlib import Path

import engine
import httpx
import pytest
from image import TIMEOUT, USER, environment, instructions, run_container, skip_reason

REASON = skip_reason() if engine.skip_reason() else "the image is tested in podman"
REQUEST = {"model": "sonnet", "messages": [{"role": "user", "content": "Reply with exactly: PONG"}]}


@pytest.mark.skipif(REASON is not None, reason=str(REASON))
async def test_image_without_an_engine(tmp_path: Path) -> None:
    """The installed gateway responds, is healthy, can write to its volumes only, and stops on SIGTERM.

    It refuses to start without a key, and the image has no pip.
    """
    headers = {"x-api-key": "the-key-of-the-clients"}
    key = {"DRAGOMAN_API_KEY": headers["x-api-key"]}
    async with run_container(tmp_path, "serve", "--simulate", "-p", "0", **key) as container:
        base_url = await container.base_url()
        port = base_url.removesuffix("/v1").rpartition(":")[2]
        async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=TIMEOUT) as http:
            response = await http.post("/chat/completions", json=REQUEST)
        assert response.json()["choices"][0]["message"]["content"] == "PONG"
        code, output = await container.run("dragoman", "status", DRAGOMAN_PORT=port, **key)
        assert code == 0, output
        assert await container.run("id", "-u") == (0, f"{USER}\n")
        assert await container.run("sh", "-c", "echo > /state/x && echo > /sign-in/x && echo > /workspace/x") == (0, "")
        for path in ("/opt/dragoman/x", "/etc/x", "/x"):
            assert (await container.run("touch", path))[0] == 1
        code, output = await container.run("dragoman", "serve")
        assert (code, "DRAGOMAN_API_KEY_FILE" in output) == (1, True)
        assert (await container.run("/opt/dragoman/bin/python", "-m", "pip"))[0] == 1
        os.kill(container.pid, signal.SIGTERM)
        assert await asyncio.wait_for(container.process.wait(), TIMEOUT) == 0


def test_dockerfile() -> None:
    """The image runs as the unprivileged user, and without a shell, so that signals reach the gateway."""
    assert instructions("USER") == ["${USER_ID}:${GROUP_ID}"]
    assert instructions("ENTRYPOINT") == ['["dragoman"]']
    assert instructions("CMD") == ['["serve"]']
    assert environment()["DRAGOMAN_HOST"] == "0.0.0.0"  # noqa: S104 - in the container
