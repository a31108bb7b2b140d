"""The official command's version, and the state of its sign-in."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.shared import official_command
from dragoman.backends.shared.installation import environment as environment_of
from dragoman.core.messages import JSONObject


def claude(tmp_path: Path, output: str) -> ClaudeCodeOptions:
    """Return options with a command that prints a text, whatever its arguments are."""
    path = tmp_path / "claude"
    path.write_text(f"#!{sys.executable}\nimport sys\nassert sys.argv[1:] == ['auth', 'status']\nprint({output!r})\n")
    path.chmod(0o755)
    return ClaudeCodeOptions(state_dir=tmp_path, command=path, signed_in=True)


async def state(options: ClaudeCodeOptions) -> JSONObject:
    """Return the state of its sign-in."""
    return await official_command.sign_in(options, {}, options.state_dir)


@pytest.mark.parametrize(
    ("status", "expected", "expires"),
    [
        ({"loggedIn": True, "loginExpiresAt": None}, "signed_in", None),
        ({"loggedIn": False}, "signed_out", None),
        ({"loggedIn": True, "loginExpiresAt": "2001-01-01T00:00:00Z"}, "expired", "2001-01-01T00:00:00+00:00"),
        ({"loggedIn": True, "loginExpiresAt": 4_070_908_800_000}, "signed_in", "2099-01-01T00:00:00+00:00"),
        ({"loggedIn": False, "loginExpiresAt": 978_307_200}, "expired", "2001-01-01T00:00:00+00:00"),
        ({"loggedIn": True, "loginExpiresAt": "some day"}, "signed_in", None),
    ],
    ids=str,
)
async def test_states(tmp_path: Path, status: Mapping[str, object], expected: str, expires: str | None) -> None:
    """The command's status becomes ours. The account's address is not passed on."""
    options = claude(tmp_path, json.dumps({"authMethod": "claude.ai", "email": "me@example.com", **status}))
    assert await state(options) == {"state": expected, "method": "claude.ai", "expires": expires}


async def test_a_command_without_a_status(tmp_path: Path) -> None:
    """Older versions, and missing commands."""
    assert await state(claude(tmp_path, "unknown command")) == {"state": "unknown"}
    assert await state(claude(tmp_path, "[]")) == {"state": "unknown"}
    gone = ClaudeCodeOptions(state_dir=tmp_path, command=tmp_path / "gone")
    assert await state(gone) == {"state": "unknown"}
    assert await official_command.version(gone, {}, tmp_path) is None


async def test_the_real_command(tmp_path: Path) -> None:
    """It reports a dummy token, in a home of its own."""
    options = ClaudeCodeOptions(state_dir=tmp_path, signed_in=True, config_dir=tmp_path, base_url="http://127.0.0.1:9")
    environment = environment_of(options, {"HOME": str(tmp_path), "CLAUDE_CODE_OAUTH_TOKEN": "dummy-token"})
    assert await official_command.sign_in(options, environment, tmp_path) == {
        "state": "signed_in",
        "method": "oauth_token",
        "expires": None,
    }
    assert (await official_command.version(options, environment, tmp_path) or "").startswith("2.")
