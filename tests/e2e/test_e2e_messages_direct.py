"""`/v1/messages` on the backend `api`: requests and responses pass through unchanged."""

import json
from pathlib import Path

import httpx
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import MessageParam
from gateways import TIMEOUT, api_gateway

from dragoman.core.messages import JSON, JSONObject
from dragoman.simulator.faults import Fault

ASK: list[MessageParam] = [{"role": "user", "content": "Reply with exactly: PONG"}]
CACHE_MARK: JSONObject = {"cache_control": {"type": "ephemeral"}}
TOOL_USE: JSONObject = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"x": [1.5, None, ""]}}
RESULT: JSONObject = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "seen", **CACHE_MARK}
UNKNOWN_BLOCK: JSONObject = {"type": "block_of_tomorrow", "inside": {"cache_control": 1}}
TOOL: JSON = {"name": "look", "input_schema": {"type": "object"}}


BODIES: list[JSONObject] = [
    {"max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}], "system": ""},
    {
        "max_tokens": 50,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hello", **CACHE_MARK}]},
            {"role": "assistant", "content": [TOOL_USE]},
            {"role": "user", "content": [RESULT, UNKNOWN_BLOCK]},
            {"role": "system", "content": "Continue.", "clear_at": 1, "key_of_tomorrow": []},
        ],
        "system": [{"type": "text", "text": "Be brief.", **CACHE_MARK}],
        "tools": [TOOL],
        "thinking": {"type": "adaptive", "display": "omitted"},
        "metadata": {"user_id": "someone"},
        "cache_control": {"type": "ephemeral"},
        "field_of_tomorrow": {"a": [1, 2.5, None, True]},
    },
    {"messages": [{"role": "user", "content": ""}], "temperature": 1.0, "stop_sequences": []},
]


@pytest.mark.parametrize("body", BODIES, ids=["minimal", "full", "invalid"])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_request_reaches_the_api_unchanged(tmp_path: Path, path: str, body: JSONObject) -> None:
    """Except for the model alias and `stream`; version and betas are passed on."""
    headers = {"anthropic-version": "2026-10-21", "anthropic-beta": "one-2027-01-01,two-2027-01-01"}
    async with api_gateway(tmp_path) as (simulator, url), httpx.AsyncClient(timeout=TIMEOUT) as http:
        await http.post(url + path, json={"model": "opus", **body}, headers=headers)
        [received] = simulator.received
    added: JSONObject = {"stream": True} if path == "/v1/messages" else {}
    assert received.path == path
    assert received.body == {"model": "claude-opus-5-5", **body, **added}
    assert {name: received.headers[name] for name in headers} == headers


async def test_response_is_that_of_the_api(tmp_path: Path) -> None:
    """A stream is equal in every field; a plain response is the one that the API would return."""
    body = {"model": "claude-opus-5-5", "max_tokens": 500, "messages": ASK}
    headers = {"anthropic-version": "2023-06-01", "x-api-key": "sk-ant-dummy"}
    async with api_gateway(tmp_path) as (simulator, url), httpx.AsyncClient(timeout=TIMEOUT, headers=headers) as http:
        answers = [
            (await http.post(f"{base}/v1/messages", json={**body, "stream": stream})).text
            for base in (simulator.url, url)
            for stream in (True, False)
        ]
    api_stream, api_plain, streamed, plain = answers
    assert _events(streamed) == _events(api_stream)
    assert _without_ids(json.loads(plain)) == _without_ids(json.loads(api_plain))


def _events(stream: str) -> list[tuple[str, object]]:
    events = [event.split("\n") for event in stream.strip().split("\n\n")]
    named = [(name, json.loads(data.removeprefix("data: "))) for name, data in events]
    return [(name, _without_ids(data)) for name, data in named if name != "event: ping"]


def _without_ids(value: object) -> object:
    """Remove what differs between responses: the id of the message, and the signature bound to it."""
    if isinstance(value, dict):
        return {key: _without_ids(item) for key, item in value.items() if key not in {"id", "signature"}}
    return [_without_ids(item) for item in value] if isinstance(value, list) else value


async def test_official_client(tmp_path: Path) -> None:
    """Turns with bound thinking, a pause that the gateway does not resume, and a token count."""
    async with (
        api_gateway(tmp_path) as (simulator, url),
        AsyncAnthropic(base_url=url, api_key="none", max_retries=0, timeout=TIMEOUT) as client,
    ):
        first = await client.messages.create(model="opus", max_tokens=500, messages=ASK)
        next_messages: list[MessageParam] = [*ASK, {"role": "assistant", "content": first.content}, *ASK]
        async with client.messages.stream(model="opus", max_tokens=500, messages=next_messages) as stream:
            assert "".join([text async for text in stream.text_stream]) == "PONG"
        simulator.inject(Fault(stop_reason="pause_turn"))
        paused = await client.messages.create(model="opus", max_tokens=500, messages=ASK)
        counted = await client.messages.count_tokens(model="opus", messages=ASK)
        calls = len(simulator.calls)
    assert first.content[0].type == "thinking"
    assert paused.stop_reason == "pause_turn"
    assert counted.input_tokens > 0
    assert calls == 3
