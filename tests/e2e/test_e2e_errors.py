"""Every error of a request through the runtime: its status, `type` and `code`."""

import json
from pathlib import Path

import openai
import pytest
from gateways import OLD, chat_body, gateway, read_stream, stream_text, user_message
from openai.types.chat import ChatCompletionChunk
from scripted import clean

nothing_of_this_machine = pytest.fixture(autouse=True)(clean)

INVALID, API = "invalid_request_error", "api_error"
API_ERRORS = [
    ("status 400 invalid_request_error: the key sk-ant-dummy is off", 400, INVALID, "invalid_value"),
    ("status 400 invalid_request_error: prompt is too long: 9 > 8", 400, INVALID, "context_length_exceeded"),
    ("status 400 invalid_request_error: Your credit balance is too low", 429, "insufficient_quota", None),
    ("status 401", 401, "authentication_error", "not_signed_in"),
    ("status 402 billing_error: pay first", 429, "insufficient_quota", "insufficient_quota"),
    ("status 403", 403, "permission_error", "permission_denied"),
    ("status 404", 404, INVALID, "model_not_found"),
    ("status 413", 413, INVALID, "request_too_large"),
    ("status 429", 429, "rate_limit_error", "rate_limit_exceeded"),
    ("status 500", 502, API, "upstream_error"),
    ("status 529", 503, API, "overloaded"),
    ("cut", 502, API, "upstream_error"),
    ("silence", 504, API, "timeout"),
]


@pytest.mark.parametrize(("fault", "status", "kind", "code"), API_ERRORS, ids=lambda value: str(value)[:60])
async def test_api_errors(tmp_path: Path, fault: str, status: int, kind: str, code: str | None) -> None:
    """Before the first text, a stream gets the same status and the same object as a plain request.

    Every second fault is tried with both here, and every cause in the tests of the server.
    """
    is_second = [row[0] for row in API_ERRORS].index(fault) % 2
    async with gateway(tmp_path, silence_timeout=4.0) as running:
        for stream in (False, True) if is_second else (True,):
            request = chat_body(f"Hello\nSimulate: {fault}", stream=stream)
            answer = await running.http.post("/chat/completions", json=request)
            error = answer.json()["error"]
            assert (answer.status_code, error["type"], error["code"]) == (status, kind, code or kind)
            assert set(error) == {"message", "type", "param", "code"}
            assert "sk-ant-dummy" not in answer.text, "a secret of the gateway that the API repeats"
            assert ("retry-after" in answer.headers) == (code in {"rate_limit_exceeded", "overloaded"})
            assert answer.headers["x-request-id"]


GATEWAY_ERRORS: list[tuple[bytes, dict[str, object], int, str]] = [
    (b"{", {}, 400, "invalid_json"),
    (b'{"model": "sonnet"}', {}, 400, "missing_required_parameter"),
    (b'{"messages": "no list"}', {}, 400, "invalid_type"),
    (b'{"messages": []}', {}, 400, "invalid_value"),
    (json.dumps(chat_body("x", model="claude-sonet-5-5")).encode(), {}, 404, "model_not_found"),
    (json.dumps(chat_body("x" * 2000)).encode(), {"max_request_bytes": 1000}, 413, "request_too_large"),
    (json.dumps(chat_body("x")).encode(), {"api_key": "another"}, 401, "invalid_api_key"),
    (json.dumps(chat_body("x", logprobs=True)).encode(), {}, 400, "unsupported_parameter"),
]


@pytest.mark.parametrize(("raw", "settings", "status", "code"), GATEWAY_ERRORS, ids=lambda value: str(value)[:40])
async def test_errors_of_the_gateway(
    tmp_path: Path, raw: bytes, settings: dict[str, object], status: int, code: str
) -> None:
    """An invalid request starts no process and makes no call."""
    async with gateway(tmp_path, **settings) as running:
        answer = await running.http.post(
            "/chat/completions", content=raw, headers={"content-type": "application/json", "x-api-key": "wrong"}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert running.simulator.received == []
        assert not running.backend._sessions


async def test_prompt_longer_than_the_context_window(tmp_path: Path) -> None:
    """The runtime refuses it without a call; the code is the one that clients compact on."""
    async with gateway(tmp_path) as running:
        answer = await running.http.post("/chat/completions", json=chat_body("word " * 300_000))
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")


async def test_run_timeout(tmp_path: Path) -> None:
    """The error names the setting."""
    async with gateway(tmp_path, run_timeout=2.0) as running:
        running.simulator.hold()
        answer = await running.http.post("/chat/completions", json=chat_body("Hello"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
        assert "--run-timeout" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("error after 2", "overloaded"),
        ("error after 2 api_error: broke", "upstream_error"),
        ("cut after 2\nSimulate: pace 0.05", "upstream_error"),
        ("silence after 2", "timeout"),
    ],
)
async def test_errors_within_a_stream(tmp_path: Path, fault: str, code: str) -> None:
    """After the first text the error is an event, which the official client raises; no text is repeated."""
    async with gateway(tmp_path, silence_timeout=4.0) as running:
        stream = await running.openai.chat.completions.create(
            model=OLD, messages=user_message(f"Count to 9\nSimulate: {fault}"), stream=True
        )
        chunks: list[ChatCompletionChunk] = []
        with pytest.raises(openai.APIError) as caught:
            await read_stream(stream, chunks)
        assert caught.value.code == code
        assert "1 2 3 4 5 6 7 8 9".startswith(stream_text(chunks).strip())
