"""Who pays on the direct backend: keys, tokens, and what the official SDK finds; tokens renewed once where refused."""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import cast

import pytest
from api_harness import HEAD, WHOLE, Serve, backend_at, pong, raw_server, read_request
from backend_harness import ask

from dragoman.config.loading import BadSettings, load
from dragoman.core import errors
from dragoman.core.events import Retrying
from dragoman.core.messages import JSONObject
from dragoman.wiring.gateway import build

ANSWER = HEAD + b"content-length: %d\r\n\r\n" % len(WHOLE) + WHOLE


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the SDK looks for profiles: an empty directory."""
    for name in ("PROFILE", "FEDERATION_RULE_ID", "ORGANIZATION_ID", "IDENTITY_TOKEN", "IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(f"ANTHROPIC_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".config" / "anthropic"


def sign_in(folder: Path, base_url: str, token: str, *, ends: float) -> None:
    """A profile, as `ant auth login` leaves it."""
    for part in ("configs", "credentials"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    config = {"version": "1.0", "base_url": base_url, "authentication": {"type": "user_oauth", "client_id": "me"}}
    (folder / "configs" / "default.json").write_text(json.dumps(config))
    kept = {"version": "1.0", "type": "oauth_token", "access_token": token, "refresh_token": "r-1"}
    credentials = folder / "credentials" / "default.json"
    credentials.write_text(json.dumps({**kept, "expires_at": int(time.time() + ends)}))
    credentials.chmod(0o600)


class Account:
    """The API, with a token service: `good` is the one token that it takes, which a refresh gives."""

    def __init__(self, good: str = "new", status: int = 200) -> None:
        self.good = good
        self.status = status
        self.refreshed = 0
        self.asked: list[str] = []
        self.heads: list[bytes] = []

    @property
    def serve(self) -> Serve:
        """What a raw server does with it."""
        return self._serve

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            if b"/v1/oauth/token" in request.split(b"\r\n")[0]:
                self.refreshed += 1
                answer = {"access_token": "new", "refresh_token": "r-2", "expires_in": 3600, "token_type": "Bearer"}
                writer.write(_json(self.status, cast("JSONObject", answer)))
            else:
                self.heads.append(request)
                token = request.lower().partition(b"authorization: bearer ")[2].split(b"\r\n")[0].decode()
                self.asked.append(token)
                refusal: JSONObject = {"type": "error", "error": {"type": "authentication_error", "message": "expired"}}
                writer.write(ANSWER if token == self.good else _json(401, refusal))
            await writer.drain()


def _json(status: int, value: JSONObject) -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def test_a_refused_token_is_renewed_once_and_the_request_repeated(folder: Path) -> None:
    """The client gets its answer; ten runs at once renew it once."""
    account = Account()
    async with raw_server(account.serve) as url:
        sign_in(folder, url, "old", ends=3600)
        async with backend_at(None, api_key=None, retries=0) as backend:
            answers = await asyncio.gather(*(ask(backend, pong()) for _ in range(10)))
            assert [answer.text for answer in answers] == ["PONG"] * 10
            assert not any(isinstance(event, Retrying) for answer in answers for event in answer.events)
            assert account.refreshed == 1
            assert sorted(set(account.asked)) == ["new", "old"]
            assert b"anthropic-beta: oauth-2025-04-20\r\n" in account.heads[0]
            assert backend.status()["authentication"] == "sdk"


async def test_a_token_that_has_ended_is_renewed_before_it_is_used(folder: Path) -> None:
    """And the new one is used until it ends."""
    account = Account()
    async with raw_server(account.serve) as url:
        sign_in(folder, url, "old", ends=-10)
        async with backend_at(url, api_key=None, retries=0) as backend:
            for _ in range(2):
                assert (await ask(backend, pong())).text == "PONG"
            assert account.asked == ["new", "new"]
            assert account.refreshed == 1


async def test_a_renewed_token_that_is_refused_as_well(folder: Path) -> None:
    """That is told, after one repetition."""
    account = Account(good="other")
    async with raw_server(account.serve) as url:
        sign_in(folder, url, "old", ends=3600)
        async with backend_at(url, api_key=None, retries=2) as backend:
            with pytest.raises(errors.NotSignedIn, match="ant auth login"):
                await ask(backend, pong())
            assert account.asked == ["old", "new"]


@pytest.mark.parametrize(("status", "cause"), [(400, errors.NotSignedIn), (503, errors.UpstreamFailed)])
async def test_a_token_that_cannot_be_renewed(folder: Path, status: int, cause: type[errors.GatewayError]) -> None:
    """A sign-in that is over is one thing, a token service that fails another."""
    account = Account(status=status)
    async with raw_server(account.serve) as url:
        sign_in(folder, url, "old", ends=-10)
        async with backend_at(url, api_key=None, retries=0) as backend:
            with pytest.raises(cause) as caught:
                await ask(backend, pong())
            assert "r-1" not in caught.value.message
            assert account.asked == []


async def test_without_any_credentials_the_advice_is_the_error() -> None:
    """And the operator is told the same."""
    async with backend_at("http://127.0.0.1:1", api_key=None, retries=0) as backend:
        with pytest.raises(errors.NotSignedIn, match="ANTHROPIC_API_KEY") as caught:
            await ask(backend, pong())
        assert backend.ready() == caught.value.message
        assert backend.status()["authentication"] == "none"


async def test_without_the_sdk_its_installation_is_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Profiles need it; keys do not."""
    monkeypatch.setitem(sys.modules, "anthropic.lib.credentials", None)
    async with backend_at("http://127.0.0.1:1", api_key=None, retries=0) as backend:
        with pytest.raises(errors.NotInstalled, match="pip install 'anthropic"):
            await ask(backend, pong())


async def test_a_token_of_the_environment_is_a_bearer_token() -> None:
    """As the SDK sends it: no key, and no beta of sign-ins."""
    account = Account(good="t-1")
    async with raw_server(account.serve) as url, backend_at(url, api_key=None, auth_token="t-1") as backend:
        assert (await ask(backend, pong())).text == "PONG"
        assert b"x-api-key" not in account.heads[0]
        assert b"anthropic-beta" not in account.heads[0]
        assert backend.status()["authentication"] == "auth_token"


async def test_a_key_with_a_line_end_stays_one_header() -> None:
    """Files and variables often end in one."""
    account = Account(good="none")
    async with raw_server(account.serve) as url, backend_at(url, api_key="sk-1\r\nx-evil: 1\n", retries=0) as backend:
        with pytest.raises(errors.NotSignedIn):
            await ask(backend, pong())
        assert b"\r\nx-evil" not in account.heads[0]


async def test_the_setting_chooses_the_backend(tmp_path: Path) -> None:
    """`--backend api --simulate` answers without a process of Claude Code."""
    settings = load({"backend": "api", "simulate": True, "state_dir": tmp_path}, env_file=None)
    async with build(settings) as gateway:
        assert gateway.backend.name == "api"
        assert gateway.backend.ready() is None
        assert "claude-opus-5-5" in {model.id for model in await gateway.backend.models()}


async def test_the_sign_in_of_claude_code_is_not_for_the_api(tmp_path: Path) -> None:
    """It belongs to Claude Code alone."""
    settings = load({"backend": "api", "signed_in": True, "state_dir": tmp_path}, env_file=None)
    with pytest.raises(BadSettings, match="only Claude Code may use"):
        async with build(settings):
            pass
