"""Background responses: polled, followed and cancelled; every one reaches a final status."""

import asyncio
import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from responses_spec import assert_event, assert_response
from responses_support import parse_events
from scripted import clean, ending, fails, hangs, opening, pauses, replies, text
from stored_support import create_response, poll_until_final, served_with_store, store_path

from dragoman.core import errors
from dragoman.dialects.shared import sse
from dragoman.stores.base import StoredEntry
from dragoman.stores.sqlite.responses import SQLiteResponseStore

_clean = pytest.fixture(autouse=True)(clean)


async def test_returns_at_once_and_is_polled(tmp_path: Path) -> None:
    """It is queued, then in progress, then completed. It cannot be continued before that."""
    proceed = asyncio.Event()
    async with served_with_store(pauses(proceed), tmp_path) as gateway:
        created = await create_response(gateway, background=True)
        await gateway.backend.started.wait()
        polled = await gateway.openai.responses.retrieve(created["id"])
        body = {"input": "And?", "previous_response_id": created["id"]}
        early = await gateway.http.post("/v1/responses", json=body)
        proceed.set()
        final = await poll_until_final(gateway.http, created["id"])
    assert (created["status"], created["background"], created["output"]) == ("queued", True, [])
    assert polled.status == "in_progress"
    assert early.json()["error"]["code"] == "response_in_progress"
    assert (final["status"], final["output"][0]["content"][0]["text"]) == ("completed", "Hello")
    assert_response(created)
    assert_response(final)


async def test_stream_can_be_resumed(tmp_path: Path) -> None:
    """It can be read from any event: while it is generated, afterwards, and after a restart."""
    proceed = asyncio.Event()
    async with served_with_store(pauses(proceed), tmp_path) as gateway:
        body = {"input": "Say it", "background": True, "stream": True}
        async with gateway.http.stream("POST", "/v1/responses", json=body) as stream:
            first = await anext(stream.aiter_bytes())
        id_ = str(parse_events(first)[0]["response"]["id"])
        path = f"/v1/responses/{id_}"
        async with gateway.http.stream("GET", path, params={"stream": "true"}) as stream:
            pieces = stream.aiter_bytes()
            live = await anext(pieces)
            proceed.set()
            live += b"".join([piece async for piece in pieces])
        final = await poll_until_final(gateway.http, id_)
        later = await gateway.http.get(path, params={"stream": "true", "starting_after": 3})
        official = await gateway.openai.responses.retrieve(id_, stream=True, starting_after=1)
        types = [event.type async for event in official]
    async with served_with_store(replies("Nothing"), tmp_path) as gateway:
        repeated = await gateway.http.get(path, params={"stream": "true"})
        beyond = await gateway.http.get(path, params={"stream": "true", "starting_after": 1000})
        absurd = await gateway.http.get(path, params={"stream": "true", "starting_after": "9" * 30})
    events = parse_events(live)
    assert [event["type"] for event in events[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert (events[-1]["type"], events[-1]["response"]) == ("response.completed", final)
    assert repeated.content == live
    assert later.content == b"".join(part + b"\n\n" for part in live.split(b"\n\n")[4:-1])
    assert types == [event["type"] for event in events[2:]]
    assert beyond.content == b""
    assert (absurd.status_code, absurd.json()["error"]["param"]) == (400, "starting_after")
    for event in events:
        assert_event(event)


async def test_cancel(tmp_path: Path) -> None:
    """Its run ends, and it stays cancelled. A second cancel changes nothing."""
    async with served_with_store(hangs(after=[*opening(), text("Hel")]), tmp_path) as gateway:
        created = await create_response(gateway, background=True)
        path = f"/v1/responses/{created['id']}"
        await gateway.backend.started.wait()
        cancelled = await gateway.openai.responses.cancel(created["id"])
        await gateway.backend.ended.wait()
        repeated = (await gateway.http.post(f"{path}/cancel")).json()
        stored = (await gateway.http.get(path)).json()
    assert cancelled.status == "cancelled"
    assert stored == repeated
    assert stored["status"] == "cancelled"
    assert_response(stored)


async def test_cancelled_stream_ends(tmp_path: Path) -> None:
    """Its last event contains the cancelled response."""
    async with served_with_store(hangs(after=[*opening(), text("Hel")]), tmp_path) as gateway:
        body = {"input": "Say it", "background": True, "stream": True}
        async with gateway.http.stream("POST", "/v1/responses", json=body) as stream:
            pieces = stream.aiter_bytes()
            data = await anext(pieces)
            id_ = parse_events(data)[0]["response"]["id"]
            await gateway.http.post(f"/v1/responses/{id_}/cancel")
            data += b"".join([piece async for piece in pieces])
        stored_stream = await gateway.http.get(f"/v1/responses/{id_}", params={"stream": "true"})
    last = parse_events(data)[-1]
    assert (last["type"], last["response"]["status"]) == ("response.incomplete", "cancelled")
    assert stored_stream.content == data
    for event in parse_events(data):
        assert_event(event)


async def test_foreground_response_cannot_be_cancelled(tmp_path: Path) -> None:
    """This is an error, as at OpenAI. So is an unknown id."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        created = await create_response(gateway)
        refused = await gateway.http.post(f"/v1/responses/{created['id']}/cancel")
        missing = await gateway.http.post("/v1/responses/resp_1/cancel")
        stream = await gateway.http.get(f"/v1/responses/{created['id']}", params={"stream": "true"})
    assert (refused.status_code, missing.status_code) == (400, 404)
    assert "background" in refused.json()["error"]["message"]
    assert (stream.status_code, stream.json()["error"]["param"]) == (400, "stream")


async def test_delete_ends_the_run(tmp_path: Path) -> None:
    """Nothing of the response stays in the store."""
    async with served_with_store(hangs(after=opening()), tmp_path) as gateway:
        created = await create_response(gateway, background=True)
        await gateway.backend.started.wait()
        await gateway.openai.responses.delete(created["id"])
        await gateway.backend.ended.wait()
        stored = await gateway.http.get(f"/v1/responses/{created['id']}")
    assert stored.status_code == 404


async def test_failure_is_stored(tmp_path: Path) -> None:
    """A failure is in the response and in its stream, even one before the first text."""
    async with served_with_store(fails(errors.RateLimited("Slow down")), tmp_path) as gateway:
        created = await create_response(gateway, background=True)
        failed = await poll_until_final(gateway.http, created["id"])
        stream = await gateway.http.post("/v1/responses", json={"input": "?", "background": True, "stream": True})
    assert failed["error"] == {"code": "rate_limit_exceeded", "message": "Slow down"}
    assert [event["type"] for event in parse_events(stream.content)][-2:] == ["response.queued", "response.failed"]
    assert_response(failed)


async def test_store_is_required(tmp_path: Path) -> None:
    """`store: false` is refused: the response could not be read."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        body = {"input": "?", "background": True, "store": False}
        refused = await gateway.http.post("/v1/responses", json=body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "store")


async def test_full_queue(tmp_path: Path) -> None:
    """A full queue refuses it like any other request."""
    async with served_with_store(hangs(after=opening()), tmp_path, max_concurrency=1, max_queue_size=0) as gateway:
        await create_response(gateway, background=True)
        refused = await gateway.http.post("/v1/responses", json={"input": "?", "background": True})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")


async def test_shutdown_fails_it(tmp_path: Path) -> None:
    """The next gateway finds it failed, and its stream ended."""
    async with served_with_store(hangs(after=[*opening(), text("Hel")]), tmp_path, shutdown_grace=0.0) as gateway:
        created = await create_response(gateway, background=True)
        body = {"input": "Say it", "background": True, "stream": True}
        async with gateway.http.stream("POST", "/v1/responses", json=body) as stream:
            data, parts = b"", stream.aiter_bytes()
            while b"Hel" not in data:
                data += await anext(parts)
            id_ = parse_events(data)[0]["response"]["id"]
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        plain = (await gateway.http.get(f"/v1/responses/{created['id']}")).json()
        repeated = await gateway.http.get(f"/v1/responses/{id_}", params={"stream": "true"})
        after = await gateway.http.post("/v1/responses", json={"input": "?", "previous_response_id": created["id"]})
    assert (plain["status"], plain["error"]["code"]) == ("failed", "server_error")
    assert "stopped" in plain["error"]["message"]
    assert [event["type"] for event in parse_events(repeated.content)][-2:] == [
        "response.output_item.done",
        "response.failed",
    ]
    assert after.status_code == 200


async def test_a_failure_behind_the_end_of_a_message_leaves_no_gap(tmp_path: Path) -> None:
    """The end that was not sent takes no sequence number."""
    script = fails(errors.UpstreamFailed("Broke"), after=[*opening(), text("Hello"), *ending()])
    async with served_with_store(script, tmp_path) as gateway:
        answer = await gateway.http.post("/v1/responses", json={"input": "Say it", "store": True, "stream": True})
    events = parse_events(answer.content)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events if event["type"].startswith("response.comp")] == []
    assert events[-1]["type"] == "response.failed"


async def test_crashed_gateway(tmp_path: Path) -> None:
    """If its lease has expired, it is returned as failed, and its stream ends with that."""
    async with served_with_store(hangs(after=[*opening(), text("Hel")]), tmp_path) as gateway:
        body = {"input": "Say it", "background": True, "stream": True}
        async with gateway.http.stream("POST", "/v1/responses", json=body) as stream:
            data = await anext(stream.aiter_bytes())
        id_ = parse_events(data)[0]["response"]["id"]
        await gateway.http.post(f"/v1/responses/{id_}/cancel")
        await add_abandoned(tmp_path, id_, "resp_crashed", parse_events(data)[:1])
        stored = (await gateway.http.get("/v1/responses/resp_crashed")).json()
        repeated = await gateway.http.get("/v1/responses/resp_crashed", params={"stream": "true"})
    assert (stored["status"], stored["error"]["code"]) == ("failed", "server_error")
    last = parse_events(repeated.content)[-1]
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
    assert_event(last)


async def add_abandoned(folder: Path, like: str, id_: str, events: list[Any]) -> None:
    """Store a response like a gateway that was killed: its lease has expired long ago."""
    now = SQLiteResponseStore(store_path(folder))
    stored = await now.get("local", like)
    assert stored is not None
    body = stored.entry.body.replace(b'"cancelled"', b'"in_progress"')
    entry = StoredEntry(id=id_, owner="local", kind="response", model="m", created=1, body=body)
    await now.aclose()
    before = SQLiteResponseStore(store_path(folder), clock=lambda: time.time() - 3600)
    await before.add(entry, producer="killed")
    await before.append(id_, 0, [sse.event(json.dumps(event).encode(), event["type"]) for event in events])
    await before.aclose()


async def test_cancel_by_another_gateway(tmp_path: Path) -> None:
    """The gateway that generates it learns of the cancel when it renews its lease."""
    async with (
        served_with_store(hangs(after=opening()), tmp_path) as here,
        served_with_store(replies("Hello"), tmp_path) as there,
    ):
        created = await create_response(here, background=True)
        await here.backend.started.wait()
        polled = (await there.http.get(f"/v1/responses/{created['id']}")).json()
        cancelled = (await there.http.post(f"/v1/responses/{created['id']}/cancel")).json()
        await here.backend.ended.wait()
        stored = (await here.http.get(f"/v1/responses/{created['id']}")).json()
    assert polled["status"] in {"queued", "in_progress"}
    assert cancelled["status"] == stored["status"] == "cancelled"


async def test_expired_lease_of_own_job(tmp_path: Path) -> None:
    """A job of this process continues even if its lease looks expired: the machine may have slept."""
    async with served_with_store(hangs(after=opening()), tmp_path) as gateway:
        created = await create_response(gateway, background=True)
        await gateway.backend.started.wait()
        with closing(sqlite3.connect(store_path(tmp_path))) as file, file:
            file.execute("UPDATE entries SET lease = 0").close()
        stored = (await gateway.http.get(f"/v1/responses/{created['id']}")).json()
        cancelled = (await gateway.http.post(f"/v1/responses/{created['id']}/cancel")).json()
    assert (stored["status"], cancelled["status"]) == ("in_progress", "cancelled")


async def test_disconnected_follower(tmp_path: Path) -> None:
    """The request of a disconnected follower ends at once, not with the response."""
    async with served_with_store(hangs(after=[*opening(), text("Hel")]), tmp_path) as gateway:
        body = {"input": "Say it", "background": True, "stream": True}
        async with gateway.http.stream("POST", "/v1/responses", json=body) as stream:
            id_ = parse_events(await anext(stream.aiter_bytes()))[0]["response"]["id"]
        async with gateway.http.stream("GET", f"/v1/responses/{id_}", params={"stream": "true"}) as stream:
            assert await anext(stream.aiter_bytes())
        counted = 'dragoman_requests_total{method="GET",route="/v1/responses/{id}",status="200"} 1.0'
        async with asyncio.timeout(20):  # it would hang with the answer
            while counted not in (await gateway.http.get("/metrics")).text:
                pass
        await gateway.http.post(f"/v1/responses/{id_}/cancel")
