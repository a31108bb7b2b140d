"""Responses in the background: polled, followed, cancelled, and never in progress for ever."""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from responses_spec import assert_event, assert_response
from responses_support import parse_events
from scripted import Script, clean, ending, fails, hangs, opening, replies, text
from stored_support import create_response, poll_until_final, served_with_store, store_path

from dragoman.backends.base import RunRequest
from dragoman.core import errors
from dragoman.core.events import Event
from dragoman.dialects.shared import sse
from dragoman.stores.base import StoredEntry
from dragoman.stores.sqlite.responses import SQLiteResponseStore

_clean = pytest.fixture(autouse=True)(clean)


def waits(go_on: asyncio.Event) -> Script:
    """Says half of it, and the rest when it is told to."""

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        for event in [*opening(), text("Hel")]:
            yield event
        await go_on.wait()
        for event in [text("lo"), *ending()]:
            yield event

    return script


async def test_it_is_answered_at_once_and_polled(tmp_path: Path) -> None:
    """Queued, then in progress, then completed; gone on from only then."""
    go_on = asyncio.Event()
    async with served_with_store(waits(go_on), tmp_path) as gateway:
        made = await create_response(gateway, background=True)
        await gateway.backend.started.wait()
        seen = await gateway.openai.responses.retrieve(made["id"])
        body = {"input": "And?", "previous_response_id": made["id"]}
        early = await gateway.http.post("/v1/responses", json=body)
        go_on.set()
        whole = await poll_until_final(gateway.http, made["id"])
    assert (made["status"], made["background"], made["output"]) == ("queued", True, [])
    assert seen.status == "in_progress"
    assert early.json()["error"]["code"] == "response_in_progress"
    assert (whole["status"], whole["output"][0]["content"][0]["text"]) == ("completed", "Hello")
    assert_response(made)
    assert_response(whole)


async def test_its_stream_can_be_taken_up_again(tmp_path: Path) -> None:
    """From any event on: while it is made, after it is made, and after a restart."""
    go_on = asyncio.Event()
    async with served_with_store(waits(go_on), tmp_path) as gateway:
        body = {"input": "Say it", "background": True, "stream": True}
        async with gateway.http.stream("POST", "/v1/responses", json=body) as stream:
            first = await anext(stream.aiter_bytes())
        id_ = str(parse_events(first)[0]["response"]["id"])
        path = f"/v1/responses/{id_}"
        async with gateway.http.stream("GET", path, params={"stream": "true"}) as stream:
            pieces = stream.aiter_bytes()
            live = await anext(pieces)
            go_on.set()
            live += b"".join([piece async for piece in pieces])
        whole = await poll_until_final(gateway.http, id_)
        later = await gateway.http.get(path, params={"stream": "true", "starting_after": 3})
        official = await gateway.openai.responses.retrieve(id_, stream=True, starting_after=1)
        kinds = [event.type async for event in official]
    async with served_with_store(replies("Nothing"), tmp_path) as gateway:
        again = await gateway.http.get(path, params={"stream": "true"})
        beyond = await gateway.http.get(path, params={"stream": "true", "starting_after": 1000})
        absurd = await gateway.http.get(path, params={"stream": "true", "starting_after": "9" * 30})
    events = parse_events(live)
    assert [event["type"] for event in events[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert (events[-1]["type"], events[-1]["response"]) == ("response.completed", whole)
    assert again.content == live
    assert later.content == b"".join(part + b"\n\n" for part in live.split(b"\n\n")[4:-1])
    assert kinds == [event["type"] for event in events[2:]]
    assert beyond.content == b""
    assert (absurd.status_code, absurd.json()["error"]["param"]) == (400, "starting_after")
    for event in events:
        assert_event(event)


async def test_it_is_cancelled(tmp_path: Path) -> None:
    """Its run ends, its stream ends, and it stays cancelled; twice is once."""
    async with served_with_store(hangs(after=[*opening(), text("Hel")]), tmp_path) as gateway:
        made = await create_response(gateway, background=True)
        path = f"/v1/responses/{made['id']}"
        await gateway.backend.started.wait()
        cancelled = await gateway.openai.responses.cancel(made["id"])
        await gateway.backend.ended.wait()
        again = (await gateway.http.post(f"{path}/cancel")).json()
        found = (await gateway.http.get(path)).json()
    assert cancelled.status == "cancelled"
    assert found == again
    assert found["status"] == "cancelled"
    assert_response(found)


async def test_a_cancelled_stream_ends(tmp_path: Path) -> None:
    """Its last event holds the cancelled response."""
    async with served_with_store(hangs(after=[*opening(), text("Hel")]), tmp_path) as gateway:
        body = {"input": "Say it", "background": True, "stream": True}
        async with gateway.http.stream("POST", "/v1/responses", json=body) as stream:
            pieces = stream.aiter_bytes()
            data = await anext(pieces)
            id_ = parse_events(data)[0]["response"]["id"]
            await gateway.http.post(f"/v1/responses/{id_}/cancel")
            data += b"".join([piece async for piece in pieces])
        kept_stream = await gateway.http.get(f"/v1/responses/{id_}", params={"stream": "true"})
    last = parse_events(data)[-1]
    assert (last["type"], last["response"]["status"]) == ("response.incomplete", "cancelled")
    assert kept_stream.content == data
    for event in parse_events(data):
        assert_event(event)


async def test_what_somebody_waits_for_cannot_be_cancelled(tmp_path: Path) -> None:
    """As at OpenAI; nor can what is not there."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        made = await create_response(gateway)
        refused = await gateway.http.post(f"/v1/responses/{made['id']}/cancel")
        missing = await gateway.http.post("/v1/responses/resp_1/cancel")
        stream = await gateway.http.get(f"/v1/responses/{made['id']}", params={"stream": "true"})
    assert (refused.status_code, missing.status_code) == (400, 404)
    assert "background" in refused.json()["error"]["message"]
    assert (stream.status_code, stream.json()["error"]["param"]) == (400, "stream")


async def test_deleting_it_ends_it(tmp_path: Path) -> None:
    """And nothing of it is kept."""
    async with served_with_store(hangs(after=opening()), tmp_path) as gateway:
        made = await create_response(gateway, background=True)
        await gateway.backend.started.wait()
        await gateway.openai.responses.delete(made["id"])
        await gateway.backend.ended.wait()
        found = await gateway.http.get(f"/v1/responses/{made['id']}")
    assert found.status_code == 404


async def test_a_failure_is_found_in_it(tmp_path: Path) -> None:
    """Also one before the first word, and in its stream."""
    async with served_with_store(fails(errors.RateLimited("Slow down")), tmp_path) as gateway:
        made = await create_response(gateway, background=True)
        failed = await poll_until_final(gateway.http, made["id"])
        stream = await gateway.http.post("/v1/responses", json={"input": "?", "background": True, "stream": True})
    assert failed["error"] == {"code": "rate_limit_exceeded", "message": "Slow down"}
    assert [event["type"] for event in parse_events(stream.content)][-2:] == ["response.failed", "error"]
    assert_response(failed)


async def test_it_has_to_be_kept(tmp_path: Path) -> None:
    """There is no other way to its answer."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        body = {"input": "?", "background": True, "store": False}
        refused = await gateway.http.post("/v1/responses", json=body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "store")


async def test_a_full_queue_refuses_it(tmp_path: Path) -> None:
    """As everything else; and nothing is left of it."""
    async with served_with_store(hangs(after=opening()), tmp_path, max_concurrency=1, max_queue_size=0) as gateway:
        await create_response(gateway, background=True)
        refused = await gateway.http.post("/v1/responses", json={"input": "?", "background": True})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")


async def test_a_gateway_that_stops_fails_it(tmp_path: Path) -> None:
    """The next gateway finds it so, with its stream ended."""
    async with served_with_store(hangs(after=[*opening(), text("Hel")]), tmp_path, shutdown_grace=0.0) as gateway:
        made = await create_response(gateway, background=True)
        body = {"input": "Say it", "background": True, "stream": True}
        async with gateway.http.stream("POST", "/v1/responses", json=body) as stream:
            id_ = parse_events(await anext(stream.aiter_bytes()))[0]["response"]["id"]
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        plain = (await gateway.http.get(f"/v1/responses/{made['id']}")).json()
        again = await gateway.http.get(f"/v1/responses/{id_}", params={"stream": "true"})
        after = await gateway.http.post("/v1/responses", json={"input": "?", "previous_response_id": made["id"]})
    assert (plain["status"], plain["error"]["code"]) == ("failed", "server_error")
    assert "stopped" in plain["error"]["message"]
    assert [event["type"] for event in parse_events(again.content)][-2:] == ["response.failed", "error"]
    assert after.status_code == 200


async def test_one_whose_gateway_crashed_is_found_as_failed(tmp_path: Path) -> None:
    """Nobody has renewed it for too long: whoever finds it so says so, in its stream as well."""
    async with served_with_store(hangs(after=[*opening(), text("Hel")]), tmp_path) as gateway:
        body = {"input": "Say it", "background": True, "stream": True}
        async with gateway.http.stream("POST", "/v1/responses", json=body) as stream:
            data = await anext(stream.aiter_bytes())
        id_ = parse_events(data)[0]["response"]["id"]
        await gateway.http.post(f"/v1/responses/{id_}/cancel")
        await crashed(tmp_path, id_, "resp_crashed", parse_events(data)[:1])
        found = (await gateway.http.get("/v1/responses/resp_crashed")).json()
        again = await gateway.http.get("/v1/responses/resp_crashed", params={"stream": "true"})
    assert (found["status"], found["error"]["code"]) == ("failed", "server_error")
    last = parse_events(again.content)[-1]
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
    assert_event(last)


async def crashed(folder: Path, like: str, id_: str, events: list[Any]) -> None:
    """Leave an answer behind as a gateway does that is killed: held by somebody who was last heard of long ago."""
    now = SQLiteResponseStore(store_path(folder))
    found = await now.get("local", like)
    assert found is not None
    body = found.entry.body.replace(b'"cancelled"', b'"in_progress"')
    entry = StoredEntry(id=id_, owner="local", kind="response", model="m", created=1, body=body)
    await now.aclose()
    before = SQLiteResponseStore(store_path(folder), clock=lambda: time.time() - 3600)
    await before.add(entry, holder="killed")
    await before.append(id_, 0, [sse.event(json.dumps(event).encode(), event["type"]) for event in events])
    await before.aclose()


async def test_one_that_another_gateway_cancels_ends_here(tmp_path: Path) -> None:
    """It learns of it when it next tells that it is still at work."""
    async with (
        served_with_store(hangs(after=opening()), tmp_path) as here,
        served_with_store(replies("Hello"), tmp_path) as there,
    ):
        made = await create_response(here, background=True)
        await here.backend.started.wait()
        seen = (await there.http.get(f"/v1/responses/{made['id']}")).json()
        cancelled = (await there.http.post(f"/v1/responses/{made['id']}/cancel")).json()
        await here.backend.ended.wait()
        found = (await here.http.get(f"/v1/responses/{made['id']}")).json()
    assert seen["status"] in {"queued", "in_progress"}
    assert cancelled["status"] == found["status"] == "cancelled"


async def test_the_clock_is_no_sign_of_death(tmp_path: Path) -> None:
    """What is made here goes on, though it looks as if nobody had been heard of for long: the machine slept."""
    async with served_with_store(hangs(after=opening()), tmp_path) as gateway:
        made = await create_response(gateway, background=True)
        await gateway.backend.started.wait()
        with closing(sqlite3.connect(store_path(tmp_path))) as file, file:
            file.execute("UPDATE entries SET lease = 0").close()
        found = (await gateway.http.get(f"/v1/responses/{made['id']}")).json()
        cancelled = (await gateway.http.post(f"/v1/responses/{made['id']}/cancel")).json()
    assert (found["status"], cancelled["status"]) == ("in_progress", "cancelled")


async def test_who_follows_and_leaves_is_forgotten(tmp_path: Path) -> None:
    """At once, and not when the answer ends: its request is counted as over."""
    async with served_with_store(hangs(after=[*opening(), text("Hel")]), tmp_path) as gateway:
        body = {"input": "Say it", "background": True, "stream": True}
        async with gateway.http.stream("POST", "/v1/responses", json=body) as stream:
            id_ = parse_events(await anext(stream.aiter_bytes()))[0]["response"]["id"]
        async with gateway.http.stream("GET", f"/v1/responses/{id_}", params={"stream": "true"}) as stream:
            assert await anext(stream.aiter_bytes())
        left = 'dragoman_requests_total{method="GET",route="/v1/responses/{id}",status="200"} 1.0'
        async with asyncio.timeout(20):  # it would hang with the answer
            while left not in (await gateway.http.get("/metrics")).text:
                pass
        await gateway.http.post(f"/v1/responses/{id_}/cancel")
