"""The image in a container engine, built from its Dockerfile, and the compose file."""

import json
import sys
from pathlib import Path

import pytest
from engine import IMAGE, Engine, open_engine, skip_reason
from image import ROOT, USER
from pages import blocks

REASON = skip_reason()
REQUEST = '{"model": "sonnet", "messages": [{"role": "user", "content": "Reply with exactly: PONG"}]}'
COMPOSE = (sys.executable, "-m", "podman_compose", "--project-name", "dragoman-test")
KEY = "the-key-of-the-clients"
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
"""Added to the override file of the docs: a long-lived token, and a simulator in the container instead of Claude."""


@pytest.mark.skipif(REASON is not None, reason=str(REASON))
def test_image_in_podman(tmp_path: Path) -> None:
    """The image refuses to start without a key. With the compose file it responds, on loopback only."""
    with open_engine(tmp_path) as podman:
        podman.build(USER)
        assert "DRAGOMAN_API_KEY_FILE" in podman("run", "--rm", IMAGE, code=1)
        assert "version" in podman("run", "--rm", IMAGE, "--version")
        try:
            check_container(podman, compose_up(podman, SIMULATED))
            podman.run(*COMPOSE, "down")
            [override] = blocks(ROOT / "docs" / "container.md", "yaml")
            check_sign_in(podman, compose_up(podman, override.rstrip() + SIGNED_IN))
        finally:
            podman.run(*COMPOSE, "down", "--volumes", "--timeout", "20")


def compose_up(podman: Engine, override: str) -> str:
    """Start the compose file with an override file, on a free port. Return the container's id."""
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    (podman.folder / "compose.yaml").write_text(text.replace("127.0.0.1:8787:8787", "127.0.0.1::8787"))
    (podman.folder / "compose.override.yaml").write_text(override)
    (podman.folder / "secrets").mkdir(exist_ok=True)
    (podman.folder / "secrets" / "dragoman_api_key").write_text(f"{KEY}\n")
    podman.run(*COMPOSE, "up", "--detach", "--no-build")
    return podman("ps", "--quiet").strip()


def healthy_url(podman: Engine, container: str) -> str:
    """Wait until the container is healthy, and return its URL, which must be on loopback.

    The health check's command is repeated until it succeeds, like an engine's timer repeats it.
    """
    podman("exec", container, "sh", "-c", "until dragoman status; do :; done")
    address = podman("port", container, "8787").strip()
    assert address.startswith("127.0.0.1:")
    return f"http://{address}"


def check_container(podman: Engine, container: str) -> None:
    """Check the responses, the health check, the user and the restrictions of the container, and stop it."""
    execute = ("exec", container)
    url = healthy_url(podman, container)
    without_key = ("curl", "-sS", "--output", "/dev/null", "--write-out", "%{http_code}", "--data", REQUEST)
    assert podman.run(*without_key, f"{url}/v1/chat/completions") == "401"
    assert chat(podman, url) == "PONG"
    podman("healthcheck", "run", container)
    assert podman(*execute, "id", "-u").strip() == str(USER)
    podman(*execute, "sh", "-c", "echo > /state/x && echo > /sign-in/x && echo > /workspace/x && echo > /tmp/x")
    for path in ("/opt/dragoman/x", "/etc/x", "/x"):
        assert "Read-only" in podman(*execute, "touch", path, code=1)
    podman(*execute, "/opt/dragoman/bin/python", "-m", "pip", code=1)
    assert "CapEff:\t0000000000000000" in podman(*execute, "cat", "/proc/1/status")
    podman("stop", "--time=20", container)
    assert podman("inspect", "--format={{.State.ExitCode}}", container).strip().endswith("0")


def check_sign_in(podman: Engine, container: str) -> None:
    """Check that the gateway uses the sign-in of the variable, as the docs say, and reports it."""
    podman("exec", "--detach", container, "dragoman", "simulate")
    url = healthy_url(podman, container)
    assert chat(podman, url) == "PONG"
    status = json.loads(podman.run(*CURL, f"{url}/admin/status"))
    assert status["backend"]["authentication"] == "signed_in"


def chat(podman: Engine, url: str) -> str:
    """Send the request, and return the text of the response."""
    response = json.loads(podman.run(*CURL, "--data", REQUEST, f"{url}/v1/chat/completions"))
    text: str = response["choices"][0]["message"]["content"]
    return text
