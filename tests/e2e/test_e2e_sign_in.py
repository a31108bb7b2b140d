"""The owner's sign-in, refused and accepted again, with the real runtime and a dummy token."""

import asyncio
from pathlib import Path

import pytest
from gateways import Running, body, gateway, soon
from scripted import clean

nothing_of_this_machine = pytest.fixture(autouse=True)(clean)

SIGNED_IN: dict[str, object] = {"signed_in": True, "anthropic_api_key": None}


async def spares(running: Running) -> None:
    """Return once processes wait again."""
    while not len(running.backend._pool):
        await running.http.get(f"{running.url}/health")


async def none_left(running: Running) -> None:
    """Return once there is no process; one that was just being started may have to get there first."""
    while running.backend._sessions:
        await running.http.get(f"{running.url}/health")


async def test_a_sign_in_that_expires(tmp_path: Path) -> None:
    """One plain 401, no loop; no process stays that holds the refused sign-in; and it works again without a restart."""
    async with gateway(tmp_path, spares=1, claude_config_dir=tmp_path / "claude", **SIGNED_IN) as running:
        assert (await running.http.post("/chat/completions", json=body("Hello"))).status_code == 200
        await soon(spares(running))
        before, asked = set(running.backend._sessions), len(running.simulator.received)

        refused = await running.http.post("/chat/completions", json=body("Simulate: status 401"))
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "not_signed_in")
        assert "CLAUDE_CODE_OAUTH_TOKEN" in refused.json()["error"]["message"]
        assert "retry-after" not in refused.headers
        # The runtime itself asks a second time, with a sign-in that it has renewed if it can.
        assert len(running.simulator.received) - asked <= 2
        await soon(asyncio.gather(*(session.exited for session in before)))
        ready = await running.http.get(f"{running.url}/health/ready")
        assert (ready.status_code, ready.json()["reason"]) == (503, refused.json()["error"]["message"])
        await soon(none_left(running))

        accepted = await running.http.post("/chat/completions", json=body("Hello"))
        assert (accepted.status_code, accepted.headers["x-dragoman-path"]) == (200, "cold")
        assert (await running.http.get(f"{running.url}/health/ready")).status_code == 200
        await soon(spares(running))


async def test_no_sign_in_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API is not asked; the command to type is told."""
    monkeypatch.delenv("CLAUDE_CODE_OAUTH_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    async with gateway(tmp_path, claude_config_dir=tmp_path / "claude", **SIGNED_IN) as running:
        refused = await running.http.post("/chat/completions", json=body("Hello"))
        status = (await running.http.get(f"{running.url}/admin/status")).json()
        assert running.simulator.received == []
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "not_signed_in")
    assert "Type `dragoman login`" in refused.json()["error"]["message"]
    assert status["backend"]["more"]["sign_in"]["state"] == "signed_out"
    assert status["backend"]["more"]["sign_in"]["refused_since"]
