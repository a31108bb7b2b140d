"""The image, built from its Dockerfile and run by a container engine, and the compose file."""

import sys
from pathlib import Path

import httpx
import pytest
from engine import IMAGE, PATIENCE, Engine, engine, obstacle
from image import ROOT, USER
from pages import blocks

REASON = obstacle()
QUESTION = {"model": "sonnet", "messages": [{"role": "user", "content": "Reply with exactly: PONG"}]}
COMPOSE = (sys.executable, "-m", "podman_compose", "--project-name", "dragoman-test")
KEY = "the-key"
SIMULATED = """
services:
  dragoman:
    environment:
      DRAGOMAN_SIMULATE: "true"
"""
SIGNED_IN = """
      CLAUDE_CODE_OAUTH_TOKEN: dummy-token
      ANTHROPIC_BASE_URL: http://127.0.0.1:8788
"""
"""What a long-lived token adds to the page's own lines; the simulator stands there for Claude."""


@pytest.mark.skipif(REASON is not None, reason=str(REASON))
def test_the_image_in_an_engine(tmp_path: Path) -> None:
    """Built as it stands, it refuses to start open to others; by the compose file it answers on loopback alone."""
    with engine(tmp_path) as podman:
        podman.build(USER)
        assert "DRAGOMAN_API_KEY_FILE" in podman("run", "--rm", IMAGE, code=1)
        assert "version" in podman("run", "--rm", IMAGE, "--version")
        try:
            looked_into(podman, composed(podman, SIMULATED))
            podman.run(*COMPOSE, "down")
            [override] = blocks(ROOT / "docs" / "container.md", "yaml")
            signed_in(podman, composed(podman, override.rstrip() + SIGNED_IN))
        finally:
            podman.run(*COMPOSE, "down", "--volumes", "--timeout", "20")


def composed(podman: Engine, override: str) -> str:
    """Start what the compose file says, on a port of the engine's choice; the container's id."""
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    (podman.folder / "compose.yaml").write_text(text.replace("127.0.0.1:8787:8787", "127.0.0.1::8787"))
    (podman.folder / "compose.override.yaml").write_text(override)
    (podman.folder / "secrets").mkdir(exist_ok=True)
    (podman.folder / "secrets" / "dragoman_api_key").write_text(f"{KEY}\n")
    podman.run(*COMPOSE, "up", "--detach", "--no-build")
    return podman("ps", "--quiet").strip()


def address(podman: Engine, name: str) -> str:
    """Where it is published, once it is well: the command asks until it is told so, as the engine's timer would."""
    podman("exec", name, "sh", "-c", "until dragoman status; do :; done")
    where = podman("port", name, "8787").strip()
    assert where.startswith("127.0.0.1:")
    return f"http://{where}"


def looked_into(podman: Engine, name: str) -> None:
    """Ask it, try what it may do, and stop it."""
    inside = ("exec", name)
    with httpx.Client(base_url=address(podman, name), timeout=PATIENCE) as http:
        assert http.post("/v1/chat/completions", json=QUESTION).status_code == 401
        assert answer(http) == "PONG"
    podman("healthcheck", "run", name)
    assert podman(*inside, "id", "-u").strip() == str(USER)
    podman(*inside, "sh", "-c", "echo > /state/x && echo > /sign-in/x && echo > /workspace/x && echo > /tmp/x")
    for place in ("/opt/dragoman/x", "/etc/x", "/x"):
        assert "Read-only" in podman(*inside, "touch", place, code=1)
    assert "CapEff:\t0000000000000000" in podman(*inside, "cat", "/proc/1/status")
    podman("stop", "--time=20", name)
    assert podman("inspect", "--format={{.State.ExitCode}}", name).strip().endswith("0")


def signed_in(podman: Engine, name: str) -> None:
    """It asks with the sign-in of the variable, as the page says, and tells so."""
    podman("exec", "--detach", name, "dragoman", "simulate")
    with httpx.Client(base_url=address(podman, name), timeout=PATIENCE) as http:
        assert answer(http) == "PONG"
        told = http.get("/admin/status", headers={"x-api-key": KEY}).json()
    assert told["backend"]["authentication"] == "signed_in"


def answer(http: httpx.Client) -> str:
    """What the question is answered with."""
    said = http.post("/v1/chat/completions", json=QUESTION, headers={"x-api-key": KEY}).json()
    text: str = said["choices"][0]["message"]["content"]
    return text
