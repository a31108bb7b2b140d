"""Credentials of the Anthropic backend: keys, tokens, and what the official SDK finds. A refused token is renewed."""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import cast

import pytest
from api_harness import HEAD, MESSAGE, Serve, any_request, backend_at, raw_server, read_request
from backend_harness import ask
from gateways import until

from dragoman.config.loading import BadSettings, load
from dragoman.core import errors
from dragoman.core.events import Retrying
from dragoman.core.messages import JSONObject
from dragoman.wiring.gateway import build

RESPONSE = HEAD + b"content-length: %d\r\n\r\n" % len(MESSAGE) + MESSAGE


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in which the SDK looks for profiles. It is empty."""
    for name in ("PROFILE", "FEDERATION_RULE_ID", "ORGANIZATION_ID", "IDENTITY_TOKEN", "IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(f"ANTHROPIC_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".config" / "anthropic"


def sign_in(folder: Path, base_url: str, token: str, *, expires_in: float) -> None:
    """Write a profile as `ant auth login` does."""
    for part in ("configs", "credentials"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    config = {"version": "1.0", "base_url": base_url, "authentication": {"type": "user_oauth", "client_id": "me"}}
    (folder / "configs" / "default.json").write_text(json.dumps(config))
    stored = {"version": "1.0", "type": "oauth_token", "access_token": token, "refresh_token": "r-1"}
    credentials = folder / "credentials" / "default.json"
    credentials.write_text(json.dumps({**stored, "expires_at": int(time.time() + expires_in)}))
    credentials.chmod(0o600)


class Account:
    """The API with its token service.

    Attributes:
        accepted: The only token that the API accepts. A refresh returns `new`.
        status: The HTTP status of the token service.
        refresh_count: The number of refreshes.
        tokens: The tokens of the calls.
        requests: The calls.
    """

    def __init__(self, accepted: str = "new", status: int = 200) -> None:
        self.accepted = accepted
        self.status = status
        self.refresh_count = 0
        self.tokens: list[str] = []
        self.requests: list[bytes] = []

    @property
    def serve(self) -> Serve:
        """The handler for a raw server."""
        return self._serve

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            if b"/v1/oauth/token" in request.split(b"\r\n")[0]:
                self.refresh_count += 1
                grant = {"access_token": "new", "refresh_token": "r-2", "expires_in": 3600, "token_type": "Bearer"}
                writer.write(_json_response(self.status, cast("JSONObject", grant)))
            else:
                self.requests.append(request)
                token = request.lower().partition(b"authorization: bearer ")[2].split(b"\r\n")[0].decode()
                self.tokens.append(token)
                refusal: JSONObject = {"type": "error", "error": {"type": "authentication_error", "message": "expired"}}
                writer.write(RESPONSE if token == self.accepted else _json_response(401, refusal))
            await writer.drain()


def _json_response(status: int, value: JSONObject) -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def test_a_refused_token_is_renewed_once_and_the_call_repeated(folder: Path) -> None:
    """The client gets its response. Ten runs at once renew the token once."""
    account = Account()
    async with raw_server(account.serve) as url:
        sign_in(folder, url, "old", expires_in=3600)
        async with backend_at(None, api_key=None, retries=0) as backend:
            answers = await asyncio.gather(*(ask(backend, any_request()) for _ in range(10)))
            assert [answer.text for answer in answers] == ["PONG"] * 10
            assert not any(isinstance(event, Retrying) for answer in answers for event in answer.events)
            assert account.refresh_count == 1
            assert sorted(set(account.tokens)) == ["new", "old"]
            assert b"anthropic-beta: oauth-2025-04-20\r\n" in account.requests[0]
            assert backend.status()["authentication"] == "sdk"


async def test_an_expired_token_is_renewed_before_it_is_used(folder: Path) -> None:
    """The new token is used until it expires."""
    account = Account()
    async with raw_server(account.serve) as url:
        sign_in(folder, url, "old", expires_in=-10)
        async with backend_at(url, api_key=None, retries=0) as backend:
            for _ in range(2):
                assert (await ask(backend, any_request())).text == "PONG"
            assert account.tokens == ["new", "new"]
            assert account.refresh_count == 1


async def test_a_renewed_token_that_is_refused_is_an_error(folder: Path) -> None:
    """The call is repeated once."""
    account = Account(accepted="other")
    async with raw_server(account.serve) as url:
        sign_in(folder, url, "old", expires_in=3600)
        async with backend_at(url, api_key=None, retries=2) as backend:
            with pytest.raises(errors.NotSignedIn, match="ant auth login"):
                await ask(backend, any_request())
            assert account.tokens == ["old", "new"]


@pytest.mark.parametrize(("status", "cause"), [(400, errors.NotSignedIn), (503, errors.UpstreamFailed)])
async def test_a_token_that_cannot_be_renewed(folder: Path, status: int, cause: type[errors.GatewayError]) -> None:
    """An expired sign-in and a failing token service are different errors."""
    account = Account(status=status)
    async with raw_server(account.serve) as url:
        sign_in(folder, url, "old", expires_in=-10)
        async with backend_at(url, api_key=None, retries=0) as backend:
            with pytest.raises(cause) as caught:
                await ask(backend, any_request())
            assert "r-1" not in caught.value.message
            assert account.tokens == []


async def test_a_search_that_fails_at_the_start_is_repeated(folder: Path) -> None:
    """Readiness tells why it failed. It recovers without a run when the token service works again."""
    account = Account(status=503)
    async with raw_server(account.serve) as url:
        sign_in(folder, url, "old", expires_in=-10)
        async with backend_at(url, api_key=None, retries=0) as backend:
            await until(backend.ready)
            assert "status 503" in (backend.ready() or "")
            await until(backend.failures)
            assert "status 503" in backend.failures()["api-credentials"]
            account.status = 200
            await until(lambda: backend.ready() is None)
            assert backend.failures() == {}
            assert account.tokens == []


async def test_a_sign_in_after_the_start_is_found(folder: Path) -> None:
    """The gateway becomes ready without a run."""
    account = Account()
    async with raw_server(account.serve) as url, backend_at(url, api_key=None, retries=0) as backend:
        await until(backend.ready)
        sign_in(folder, url, "new", expires_in=3600)
        await until(lambda: backend.ready() is None)
        assert (await ask(backend, any_request())).text == "PONG"


async def test_without_credentials_the_error_contains_advice() -> None:
    """The operator gets the same text."""
    async with backend_at("http://127.0.0.1:1", api_key=None, retries=0) as backend:
        with pytest.raises(errors.NotSignedIn, match="ANTHROPIC_API_KEY") as caught:
            await ask(backend, any_request())
        assert backend.ready() == caught.value.message
        assert backend.status()["authentication"] == "none"


async def test_without_the_sdk_the_error_has_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Profiles need the SDK; keys do not."""
    monkeypatch.setitem(sys.modules, "anthropic.lib.credentials", None)
    async with backend_at("http://127.0.0.1:1", api_key=None, retries=0) as backend:
        with pytest.raises(errors.NotInstalled, match="pip install 'anthropic"):
            await ask(backend, any_request())


async def test_a_token_of_the_environment_is_a_bearer_token() -> None:
    """It is sent as the SDK sends it: no key, and no beta for sign-ins."""
    account = Account(accepted="t-1")
    async with raw_server(account.serve) as url, backend_at(url, api_key=None, auth_token="t-1") as backend:
        assert (await ask(backend, any_request())).text == "PONG"
        assert b"x-api-key" not in account.requests[0]
        assert b"anthropic-beta" not in account.requests[0]
        assert backend.status()["authentication"] == "auth_token"


async def test_a_key_with_a_line_end_stays_one_header() -> None:
    """Files and variables often end with one."""
    account = Account(accepted="none")
    async with raw_server(account.serve) as url, backend_at(url, api_key="sk-1\r\nx-evil: 1\n", retries=0) as backend:
        with pytest.raises(errors.NotSignedIn):
            await ask(backend, any_request())
        assert b"\r\nx-evil" not in account.requests[0]


async def test_the_setting_selects_the_backend(tmp_path: Path) -> None:
    """`--backend api --simulate` needs no process of Claude Code."""
    settings = load({"backend": "api", "simulate": True, "state_dir": tmp_path}, env_file=None)
    async with build(settings) as gateway:
        assert gateway.backend.name == "api"
        assert gateway.backend.ready() is None
        assert "claude-opus-5-5" in {model.id for model in await gateway.backend.models()}


async def test_the_sign_in_of_claude_code_is_not_used_for_the_api(tmp_path: Path) -> None:
    """Only Claude Code may use it."""
    settings = load({"backend": "api", "signed_in": True, "state_dir": tmp_path}, env_file=None)
    with pytest.raises(BadSettings, match="only Claude Code may use"):
        async with build(settings):
            pass
