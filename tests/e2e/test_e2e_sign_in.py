"""The operator's sign-in, refused and accepted again, with the real runtime and a dummy token."""

import asyncio
from pathlib import Path

import pytest
from gateways import RunningGateway, chat_body, gateway, with_timeout
from scripted import clean

nothing_of_this_machine = pytest.fixture(autouse=True)(clean)

SIGNED_IN: dict[str, object] = {"signed_in": True, "anthropic_api_key": None}


async def wait_for_warm_process(running: RunningGateway) -> None:
    """Wait until there is a warm process."""
    while not len(running.backend._processes._pool):
        await running.http.get(f"{running.url}/health")


async def wait_for_no_process(running: RunningGateway) -> None:
    """Wait until there is no process, also none that is still starting."""
    while running.backend._sessions:
        await running.http.get(f"{running.url}/health")


async def test_expired_sign_in(tmp_path: Path) -> None:
    """One plain 401 without a loop; processes with the refused sign-in end; a new one works without a restart."""
    async with gateway(tmp_path, spares=1, claude_config_dir=tmp_path / "claude", **SIGNED_IN) as running:
        assert (await running.http.post("/chat/completions", json=chat_body("Hello"))).status_code == 200
        await with_timeout(wait_for_warm_process(running))
        before, received = set(running.backend._sessions), len(running.simulator.received)

        refused = await running.http.post("/chat/completions", json=chat_body("Simulate: status 401"))
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "not_signed_in")
        assert "CLAUDE_CODE_OAUTH_TOKEN" in refused.json()["error"]["message"]
        assert "retry-after" not in refused.headers
        # The runtime itself retries once, with a renewed sign-in if it can renew it.
        assert len(running.simulator.received) - received <= 2
        await with_timeout(asyncio.gather(*(session.exited for session in before)))
        ready = await running.http.get(f"{running.url}/health/ready")
        assert (ready.status_code, ready.json()["reason"]) == (503, refused.json()["error"]["message"])
        await with_timeout(wait_for_no_process(running))

        accepted = await running.http.post("/chat/completions", json=chat_body("Hello"))
        assert (accepted.status_code, accepted.headers["x-dragoman-path"]) == (200, "cold")
        assert (await running.http.get(f"{running.url}/health/ready")).status_code == 200
        await with_timeout(wait_for_warm_process(running))


async def test_no_sign_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API is not called; the error names the command to run."""
    monkeypatch.delenv("CLAUDE_CODE_OAUTH_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    async with gateway(tmp_path, claude_config_dir=tmp_path / "claude", **SIGNED_IN) as running:
        refused = await running.http.post("/chat/completions", json=chat_body("Hello"))
        status = (await running.http.get(f"{running.url}/admin/status")).json()
        assert running.simulator.received == []
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "not_signed_in")
    assert "Type `dragoman login`" in refused.json()["error"]["message"]
    assert status["backend"]["more"]["sign_in"]["state"] == "signed_out"
    assert status["backend"]["more"]["sign_in"]["refused_since"]
