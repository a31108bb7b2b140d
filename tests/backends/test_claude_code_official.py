"""What the official command says of itself and of the sign-in."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.shared import official_command
from dragoman.backends.shared.installation import environment as environment_of
from dragoman.core.messages import JSONObject


def claude(tmp_path: Path, said: str) -> ClaudeCodeOptions:
    """Options with a command that says something, whatever it is asked."""
    path = tmp_path / "claude"
    path.write_text(f"#!{sys.executable}\nimport sys\nassert sys.argv[1:] == ['auth', 'status']\nprint({said!r})\n")
    path.chmod(0o755)
    return ClaudeCodeOptions(state_dir=tmp_path, command=path, signed_in=True)


async def state(options: ClaudeCodeOptions) -> JSONObject:
    """How its sign-in stands."""
    return await official_command.sign_in(options, {}, options.state_dir)


@pytest.mark.parametrize(
    ("told", "stands", "expires"),
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
async def test_states(tmp_path: Path, told: Mapping[str, object], stands: str, expires: str | None) -> None:
    """Its words to ours; whose account it is stays its own."""
    options = claude(tmp_path, json.dumps({"authMethod": "claude.ai", "email": "me@example.com", **told}))
    assert await state(options) == {"state": stands, "method": "claude.ai", "expires": expires}


async def test_what_does_not_say(tmp_path: Path) -> None:
    """Older versions, and commands that are not there."""
    assert await state(claude(tmp_path, "unknown command")) == {"state": "unknown"}
    assert await state(claude(tmp_path, "[]")) == {"state": "unknown"}
    gone = ClaudeCodeOptions(state_dir=tmp_path, command=tmp_path / "gone")
    assert await state(gone) == {"state": "unknown"}
    assert await official_command.version(gone, {}, tmp_path) is None


async def test_the_real_one(tmp_path: Path) -> None:
    """With a dummy token, in a home of its own."""
    options = ClaudeCodeOptions(state_dir=tmp_path, signed_in=True, config_dir=tmp_path, base_url="http://127.0.0.1:9")
    environment = environment_of(options, {"HOME": str(tmp_path), "CLAUDE_CODE_OAUTH_TOKEN": "dummy-token"})
    assert await official_command.sign_in(options, environment, tmp_path) == {
        "state": "signed_in",
        "method": "oauth_token",
        "expires": None,
    }
    assert (await official_command.version(options, environment, tmp_path) or "").startswith("2.")
