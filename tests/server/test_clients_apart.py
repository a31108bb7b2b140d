"""Clients with keys of their own: none gets the thinking, the summaries or the details that belong to another."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from scripted import KEY, Served, clean, emits, in_sequence, replies, served
from stored_support import WEATHER
from test_stored_responses import tool_call, tool_result

_clean = pytest.fixture(autouse=True)(clean)

KEYS = {name: {"api_key": f"key-of-{name}"} for name in ("ann", "bob")}
USER = {"role": "user", "content": "Weather?"}


async def send(gateway: Served, key: str, path: str = "/v1/responses", **fields: Any) -> httpx.Response:
    """Send a request with a key. Nothing of it is stored by default."""
    body = {"tools": [WEATHER], "store": False, "include": ["reasoning.encrypted_content"], **fields}
    if path != "/v1/responses":
        body = fields
    return await gateway.http.post(path, json=body, headers={"x-api-key": key})


def thought(gateway: Served) -> list[bool]:
    """Return whether each request but the first has thinking in its assistant message."""
    requests = gateway.backend.requests[1:]
    return [any(b["type"] == "thinking" for b in request.body["messages"][1]["content"]) for request in requests]


async def test_encrypted_reasoning_is_for_its_own_key(tmp_path: Path) -> None:
    """Another key that sends the same items gets an answer without the thinking, and a warning."""
    script = in_sequence(*(emits(tool_call()) for _ in range(4)))
    async with served(script, api_key=KEY, keys=KEYS, state_dir=tmp_path, thinking_ttl=0) as gateway:
        first = (await send(gateway, "key-of-ann", input=[USER])).json()
        again = [USER, *first["output"], *tool_result(first)]
        responses = [await send(gateway, key, input=again) for key in ("key-of-ann", "key-of-bob", KEY)]
        assert thought(gateway) == [True, False, False]
    warned = ["left_out" in r.headers.get("x-dragoman-warnings", "") for r in responses]
    assert warned == [False, True, True]


async def test_kept_thinking_is_for_its_own_key(tmp_path: Path) -> None:
    """A client that sends the conversation of another, without thinking, does not get it put back."""
    script = in_sequence(*(emits(tool_call()) for _ in range(3)))
    async with served(script, api_key=KEY, keys=KEYS, state_dir=tmp_path) as gateway:
        first = (await send(gateway, "key-of-ann", input=[USER])).json()
        bare = [item for item in first["output"] if item["type"] != "reasoning"]
        for key in ("key-of-ann", "key-of-bob"):
            await send(gateway, key, input=[USER, *bare, *tool_result(first)])
        assert thought(gateway) == [True, False]


async def test_a_compacted_conversation_is_for_its_own_key(tmp_path: Path) -> None:
    """Another key cannot read the summary."""
    async with served(replies("They talked."), api_key=KEY, keys=KEYS, state_dir=tmp_path) as gateway:
        compacted = (await send(gateway, "key-of-ann", "/v1/responses/compact", model="sonnet", input=[USER])).json()
        items = [*compacted["output"], USER]
        statuses = [(await send(gateway, key, input=items)).status_code for key in ("key-of-ann", "key-of-bob", KEY)]
    assert statuses == [200, 400, 400]


async def test_stored_thinking_is_encrypted_for_the_key_that_reads_it(tmp_path: Path) -> None:
    """What a client reads of its own stored response, it can send back."""
    script = in_sequence(emits(tool_call()), emits(tool_call()))
    include = "include=reasoning.encrypted_content"
    async with served(script, api_key=KEY, keys=KEYS, state_dir=tmp_path, thinking_ttl=0) as gateway:
        first = (await send(gateway, "key-of-ann", input=[USER], store=True)).json()
        path, headers = f"/v1/responses/{first['id']}", {"x-api-key": "key-of-ann"}
        stored = (await gateway.http.get(f"{path}?{include}", headers=headers)).json()
        await send(gateway, "key-of-ann", input=[USER, *stored["output"], *tool_result(stored)])
        assert thought(gateway) == [True]


async def test_details_of_readiness_are_for_the_operator() -> None:
    """A client key gets only the status, like a request without a key."""
    async with served(replies("Hello"), api_key=KEY, keys=KEYS) as gateway:
        answers = [
            (await gateway.http.get("/health/ready", headers={"x-api-key": key})).json() for key in ("key-of-ann", KEY)
        ]
    assert answers[0] == {"status": "ready"}
    assert answers[1]["runs"] == {"running": 0, "queued": 0}
