"""An API that repeats the gateway's secrets in its errors: no client, no stored response and no record shows them."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from dragoman.config.loading import load
from dragoman.core.redaction import REDACTED, Redactor
from dragoman.simulator.faults import Fault
from dragoman.simulator.server import Simulator
from dragoman.wiring.gateway import build

KEY = "sk-ant-api03-Fq8/2z+echoed-by-the-api"
GATEWAY_KEY = "the-key-of-this-gateway-Zx81"
PROXY_PASSWORD = "pa%20ss+of-the-proxy"
SECRETS = (KEY, GATEWAY_KEY, PROXY_PASSWORD)

FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 of a pair": lambda secret: base64.b64encode(f"me:{secret}".encode()).decode(),
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(f"x{secret}".encode()).decode(),
    "percent": lambda secret: quote(secret, safe=""),
    "percent in lower case": lambda secret: "".join(f"%{byte:02x}" for byte in secret.encode()),
    "hexadecimal": lambda secret: secret.encode().hex(),
    "JSON": lambda secret: json.dumps(json.dumps(secret)),
    "escapes": lambda secret: "".join(f"\\u{ord(sign):04x}" for sign in secret),
}

STATUSES = (400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529)
USER = {"role": "user", "content": "Count to 3"}
REQUESTS: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {"messages": [USER]},
    "/v1/completions": {"prompt": "Count to 3"},
    "/v1/responses": {"input": "Count to 3", "store": True},
    "/v1/messages": {"messages": [USER], "max_tokens": 99},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", SECRETS)
def test_each_form_is_found(secret: str, form: str) -> None:
    """Alone, among other words, and cut off at the end of a text."""
    written = FORMS[form](secret)
    redact = Redactor(SECRETS).reply
    core = written.strip('"\\=')
    for text in (written, f"The key <{written}> is wrong.", f"The key {written[: len(written) * 3 // 4]}"):
        shown = redact(text)
        assert REDACTED in shown
        assert core[: len(core) // 2] not in shown
        assert core[4:-4] not in shown


def test_other_words_stay() -> None:
    """Words are not removed by their form alone: an error may quote the client's own names."""
    text = "tools.0: `sk-lookup-customer-record` needs api_key: string. Keys begin with sk-ant-api03-. dGhlLQ=="
    assert Redactor(SECRETS).reply(text) == text


def echo() -> str:
    """Return an error message with every secret in several forms, the last one at the place where it is cut."""
    words = " ".join(FORMS[form](secret) for form in ("plain", "base64", "percent") for secret in SECRETS)
    return f"{words} {'x' * (490 - len(words))} {KEY} and more"


def assert_clean(text: str) -> None:
    """A text contains no secret, in no form."""
    for secret in SECRETS:
        for write in FORMS.values():
            written = write(secret).strip('"\\=')
            assert written[: max(16, len(written) // 2)] not in text, text


@asynccontextmanager
async def gateway(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[httpx.AsyncClient, Simulator]]:
    """A gateway with the backend `api`, and a client of its API."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{PROXY_PASSWORD}@127.0.0.1:1")
    async with Simulator() as simulator:
        given = {
            "backend": "api",
            "anthropic_api_key": KEY,
            "anthropic_base_url": simulator.url,
            "api_key": GATEWAY_KEY,
        }
        settings = load({**given, "state_dir": folder, "retries": 0, "log_level": "off"}, env_file=None)
        async with build(settings) as built:
            transport = httpx.ASGITransport(app=built.app)
            headers = {"authorization": f"Bearer {GATEWAY_KEY}"}
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
                yield client, simulator


@pytest.mark.parametrize("path", REQUESTS)
async def test_no_error_shows_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Every status, plain and streamed, and an error in the middle of a stream."""
    faults = [Fault(status=status, message=echo()) for status in STATUSES]
    faults += [Fault(action="error", after=2, error_type=kind, message=echo()) for kind in ("api_error", KEY)]
    async with gateway(tmp_path, monkeypatch) as (client, simulator):
        for fault in faults:
            for stream in (False, True):
                simulator.inject(fault)
                body = {"model": "claude-sonnet-4-5", "stream": stream, **REQUESTS[path]}
                answer = await client.post(path, json=body)
                assert "error" in answer.text
                assert answer.is_error or stream
                assert_clean(answer.text + str(answer.headers))
        assert_clean((await client.get("/admin/runs?limit=100")).text + (await client.get("/admin/status")).text)


async def test_no_stored_response_shows_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a background response, and the count of tokens and the list of models."""
    async with gateway(tmp_path, monkeypatch) as (client, simulator):
        simulator.inject(Fault(status=500, message=echo()))
        body = {"model": "claude-sonnet-4-5", "input": "Hi", "background": True}
        created = (await client.post("/v1/responses", json=body)).json()
        events = await client.get(f"/v1/responses/{created['id']}?stream=true")
        found = await client.get(f"/v1/responses/{created['id']}")
        while found.json()["status"] in {"queued", "in_progress"}:  # it was not created as a stream, which would wait
            found = await client.get(f"/v1/responses/{created['id']}")
        assert found.json()["status"] == "failed"
        assert REDACTED in found.text
        assert_clean(events.text + found.text)


async def test_what_a_client_sends_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the warnings of a response nor in an error about a field."""
    async with gateway(tmp_path, monkeypatch) as (client, _):
        body = {"model": "claude-sonnet-4-5", "messages": [USER], GATEWAY_KEY: 1, "metadata": {KEY: "x"}}
        answer = await client.post("/v1/chat/completions", json=body)
        assert_clean(str(answer.headers) + (await client.get("/admin/runs")).text)
        refused = await client.post("/v1/chat/completions", json={"model": KEY, "messages": [USER]})
        assert refused.status_code == 404
        assert_clean(refused.text)
