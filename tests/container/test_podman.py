"""The image, built from its Dockerfile and run by a container engine, and the compose file."""

import sys
from pathlib import Path

import httpx
import pytest
from engine import IMAGE, PATIENCE, Engine, engine, obstacle
from image import ROOT, USER

REASON = obstacle()
QUESTION = {"model": "sonnet", "messages": [{"role": "user", "content": "Reply with exactly: PONG"}]}
COMPOSE = (sys.executable, "-m", "podman_compose", "--project-name", "dragoman-test")
OVERRIDE = """
services:
  dragoman:
    environment:
      DRAGOMAN_SIMULATE: "true"
"""


@pytest.mark.skipif(REASON is not None, reason=str(REASON))
def test_the_image_in_an_engine(tmp_path: Path) -> None:
    """Built as it stands, it refuses to start open to others; by the compose file it answers on loopback alone."""
    with engine(tmp_path) as podman:
        podman.build(USER)
        assert "DRAGOMAN_API_KEY_FILE" in podman("run", "--rm", IMAGE, code=1)
        assert "version" in podman("run", "--rm", IMAGE, "--version")
        try:
            looked_into(podman, composed(podman))
        finally:
            podman.run(*COMPOSE, "down", "--volumes", "--timeout", "20")


def composed(podman: Engine) -> str:
    """Start what the compose file says, on a port of the engine's choice, before the simulator; its key."""
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    (podman.folder / "compose.yaml").write_text(text.replace("127.0.0.1:8787:8787", "127.0.0.1::8787"))
    (podman.folder / "compose.override.yaml").write_text(OVERRIDE)
    (podman.folder / "secrets").mkdir()
    (podman.folder / "secrets" / "dragoman_api_key").write_text("the-key\n")
    podman.run(*COMPOSE, "up", "--detach", "--no-build")
    return "the-key"


def looked_into(podman: Engine, key: str) -> None:
    """Ask it, and try what it may do."""
    name = podman("ps", "--quiet").strip()
    inside = ("exec", name)
    # The command asks again and again until it is told that all is well, as the engine's own timer would.
    podman(*inside, "sh", "-c", "until dragoman status; do :; done")
    podman("healthcheck", "run", name)
    where = podman("port", name, "8787").strip()
    assert where.startswith("127.0.0.1:")
    with httpx.Client(base_url=f"http://{where}", timeout=PATIENCE) as http:
        assert http.post("/v1/chat/completions", json=QUESTION).status_code == 401
        answer = http.post("/v1/chat/completions", json=QUESTION, headers={"x-api-key": key})
    assert answer.json()["choices"][0]["message"]["content"] == "PONG"
    assert podman(*inside, "id", "-u").strip() == str(USER)
    podman(*inside, "sh", "-c", "echo > /state/x && echo > /sign-in/x && echo > /workspace/x && echo > /tmp/x")
    for place in ("/opt/dragoman/x", "/etc/x", "/x"):
        assert "Read-only" in podman(*inside, "touch", place, code=1)
    assert "CapEff:\t0000000000000000" in podman(*inside, "cat", "/proc/1/status")
    podman("stop", "--time=20", name)
    assert podman("inspect", "--format={{.State.ExitCode}}", name).strip().endswith("0")
