"""A sign-in that expires and is renewed with `dragoman login`, with the real runtime."""

import json
import shlex
from pathlib import Path

import httpx
import pytest
from background_gateway import background_gateway
from commands import run
from terminals import in_terminal

from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.shared.installation import locate
from dragoman.simulator.server import Simulator

QUESTION = {"model": "sonnet", "messages": [{"role": "user", "content": "Reply with exactly: PONG"}]}
CLAUDE = """\
#!/bin/sh
# Claude Code, with the sign-in in a file that the test controls.
case "$1 $2" in
"auth login") printf good-token > {token}; echo 4102444800000 > {expires}; echo Signed in. ;;
"auth status") printf '{{"loggedIn": true, "authMethod": "claude.ai", "loginExpiresAt": %s}}' "$(cat {expires})" ;;
*) CLAUDE_CODE_OAUTH_TOKEN=$(cat {token}) exec {claude} "$@" ;;
esac
"""


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the file contains a sign-in."""
    monkeypatch.delenv("CLAUDE_CODE_OAUTH_TOKEN")


def claude_with_expired_sign_in(folder: Path) -> Path:
    """Return a command with an expired sign-in."""
    token, expires, script = folder / "token", folder / "expires", folder / "claude"
    token.write_text("invalid-token")
    expires.write_text("1767225600000")
    claude = shlex.quote(str(locate(ClaudeCodeOptions(state_dir=folder))))
    script.write_text(CLAUDE.format(token=token, expires=expires, claude=claude))
    script.chmod(0o755)
    return script


async def ask(http: httpx.AsyncClient) -> httpx.Response:
    """Send a request."""
    return await http.post("/v1/chat/completions", json=QUESTION)


async def test_an_expired_sign_in(tmp_path: Path) -> None:
    """Each request gets one 401 that names the command, without retries. After the command, a request succeeds."""
    claude = claude_with_expired_sign_in(tmp_path)
    async with Simulator() as simulator:
        account = {"ANTHROPIC_BASE_URL": simulator.url, "DRAGOMAN_CLAUDE_COMMAND": str(claude)}
        async with (
            background_gateway(tmp_path, "--signed-in", "--spares", "1", added=account) as gateway,
            httpx.AsyncClient(base_url=gateway.url, timeout=60) as http,
        ):
            for _ in range(2):
                before = len(simulator.received)
                refused = await ask(http)
                error = refused.json()["error"]
                assert (refused.status_code, error["type"], error["code"]) == (
                    401,
                    "authentication_error",
                    "not_signed_in",
                )
                assert "Type `dragoman login`" in error["message"]
                assert "retry-after" not in refused.headers
                # The runtime itself may retry once after it tried to renew the sign-in.
                assert 1 <= len(simulator.received) - before <= 2
            request = len(simulator.received)
            code, shown = await in_terminal(tmp_path, "status", added=account)
            assert code == 1
            assert "not ready\n  The Claude Code sign-in that this gateway uses has expired" in shown
            assert "sign-in (claude.ai), expired at 2026-01-01T00:00:00+00:00: run `dragoman login`" in shown
            assert (await http.get("/health/ready")).status_code == 503

            assert await in_terminal(tmp_path, "login", added=account) == (0, "Signed in.\n")
            code, shown = await in_terminal(tmp_path, "status", added=account)
            assert code == 0, shown
            assert "sign-in (claude.ai), valid until 2100-01-01T00:00:00+00:00\n" in shown
            assert (await http.get("/health/ready")).status_code == 200
            assert len(simulator.received) == request

            answer = await ask(http)
            assert (answer.status_code, answer.json()["choices"][0]["message"]["content"]) == (200, "PONG")
            runs = json.loads((await run(tmp_path, "runs", "--json")).out)["runs"]
    assert [(one["status"], one["error"]) for one in runs] == [
        ("succeeded", None),
        ("failed", "not_signed_in"),
        ("failed", "not_signed_in"),
    ]


async def test_cli_backend(tmp_path: Path) -> None:
    """`status` shows the expired sign-in of the `cli` backend, with the version of Claude Code."""
    claude = claude_with_expired_sign_in(tmp_path)
    account = {"DRAGOMAN_CLAUDE_COMMAND": str(claude)}
    async with background_gateway(tmp_path, "--signed-in", "--backend", "cli", added=account):
        _, shown = await in_terminal(tmp_path, "status")
    assert "sign-in (claude.ai), expired at 2026-01-01T00:00:00+00:00: run `dragoman login`" in shown
    assert "Claude Code 2." in shown


async def test_expired_before_the_first_request(tmp_path: Path) -> None:
    """`status` shows it and the gateway is not ready. The next request after a new sign-in succeeds."""
    claude = claude_with_expired_sign_in(tmp_path)
    async with Simulator() as simulator:
        account = {"ANTHROPIC_BASE_URL": simulator.url, "DRAGOMAN_CLAUDE_COMMAND": str(claude)}
        async with (
            background_gateway(tmp_path, "--signed-in", "--spares", "1", added=account) as gateway,
            httpx.AsyncClient(base_url=gateway.url, timeout=60) as http,
        ):
            before = await run(tmp_path, "status")
            assert (await http.get("/health/ready")).status_code == 503
            await run(tmp_path, "login", added=account)
            answer = await ask(http)
            after = await run(tmp_path, "status")
    assert (before.code, after.code) == (1, 0)
    assert "expired at 2026-01-01T00:00:00+00:00: run `dragoman login`" in before.out
    assert answer.status_code == 200
