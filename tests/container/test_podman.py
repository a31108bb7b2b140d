"""The image, built from its Dockerfile and run by a container engine, and the compose file."""

import json
import sys
from pathlib import Path

import pytest
from engine import IMAGE, Engine, engine, obstacle
from image import ROOT, USER
from pages import blocks

REASON = obstacle()
QUESTION = '{"model": "sonnet", "messages": [{"role": "user", "content": "Reply with exactly: PONG"}]}'
COMPOSE = (sys.executable, "-m", "podman_compose", "--project-name", "dragoman-test")
KEY = "the-key"
CURL = ("curl", "-sS", "--fail-with-body", "--header", f"authorization: Bearer {KEY}")
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
    where = address(podman, name)
    asked = ("curl", "-sS", "--output", "/dev/null", "--write-out", "%{http_code}", "--data", QUESTION)
    assert podman.run(*asked, f"{where}/v1/chat/completions") == "401"
    assert answer(podman, where) == "PONG"
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
    where = address(podman, name)
    assert answer(podman, where) == "PONG"
    told = json.loads(podman.run(*CURL, f"{where}/admin/status"))
    assert told["backend"]["authentication"] == "signed_in"


def answer(podman: Engine, where: str) -> str:
    """What the question is answered with."""
    said = json.loads(podman.run(*CURL, "--data", QUESTION, f"{where}/v1/chat/completions"))
    text: str = said["choices"][0]["message"]["content"]
    return text
