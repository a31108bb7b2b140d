"""Queued background responses that a process has left when it was killed: the next one on the same state."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from scripted import Served, clean, pauses, replies
from stored_support import served_with_store, store_path

from dragoman.dialects.base import ResponseIdentity
from dragoman.server.context import RequestContext
from dragoman.server.stored import queued
from dragoman.server.stored.queued import QueuedRequest
from dragoman.stores.base import StoredEntry
from dragoman.stores.sqlite.responses import SQLiteResponseStore

_clean = pytest.fixture(autouse=True)(clean)

BODY = b'{"model": "sonnet", "input": "Say it", "background": true, "instructions": "Be brief"}'
RESPONSE = b'{"id":"resp_1","object":"response","status":"queued","background":true,"output":[],"error":null}'
DOCUMENT = b'{"response":%s,"items":[]}' % RESPONSE


def queued_request(body: bytes, number: int = 1) -> QueuedRequest:
    """Return a request as a process queues it."""
    headers = [(b"authorization", b"Bearer secret"), (b"x-api-key", b"secret"), (b"openai-beta", b"x")]
    scope = {"type": "http", "method": "POST", "path": "/v1/responses", "headers": headers}

    async def send(_message: Any) -> None:
        """Send nothing."""

    context = RequestContext(scope, send)
    context.body = body
    return QueuedRequest.of(context, ResponseIdentity(f"run_{number:032x}", 1))


async def leave(folder: Path, body: bytes, number: int = 1) -> str:
    """Store a queued response like a process that was killed. Return its id."""
    path = store_path(folder)
    path.parent.mkdir(exist_ok=True)
    store, id_ = SQLiteResponseStore(path), f"resp_{number:032x}"
    entry = StoredEntry(id=id_, owner="local", kind="response", model="m", created=1, body=DOCUMENT)
    await store.add(entry, "dead", queued_request(body, number).encode())
    await store.hand_over("dead", [id_])
    await store.aclose()
    return id_


async def ended(gateway: Served, id_: str) -> Mapping[str, Any]:
    """Return a response when it has ended."""
    while (answer := (await gateway.http.get(f"/v1/responses/{id_}")).json())["status"] in {"queued", "in_progress"}:
        pass
    return dict(answer)


async def test_a_response_that_was_queued_is_generated(tmp_path: Path) -> None:
    """By the next process, once, from the request as its client sent it."""
    id_ = await leave(tmp_path, BODY)
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        answer = await ended(gateway, id_)
        assert (answer["status"], answer["output"][0]["content"][0]["text"]) == ("completed", "Hello")
        [request] = gateway.backend.requests
        assert "Be brief" in str(request.body)


async def test_all_are_generated_however_long_the_slots_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search without a free slot is not one that finds nothing."""
    monkeypatch.setattr(queued, "_SEARCH_SECONDS", 0.0)
    ids = [await leave(tmp_path, BODY, number) for number in (1, 2)]
    proceed = asyncio.Event()
    async with served_with_store(pauses(proceed), tmp_path, max_concurrency=1) as gateway:
        await gateway.backend.started.wait()
        for _ in range(50):
            await gateway.http.get("/health")
        proceed.set()
        assert [(await ended(gateway, id_))["status"] for id_ in ids] == ["completed", "completed"]
        assert len(gateway.backend.requests) == 2


async def test_a_response_whose_request_is_refused_fails(tmp_path: Path) -> None:
    """With the error, as if the process that was killed had got to it."""
    id_ = await leave(tmp_path, BODY.replace(b"sonnet", b"no-such-model"))
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        answer = await ended(gateway, id_)
        assert answer["status"] == "failed"
        assert "no-such-model" in answer["error"]["message"]
        assert not gateway.backend.requests


def test_no_key_is_kept_with_a_queued_request() -> None:
    """Its client was admitted: the key is not needed again."""
    request = queued_request(BODY)
    assert QueuedRequest.decode(request.encode()) == request
    assert request.headers == [(b"openai-beta", b"x")]
