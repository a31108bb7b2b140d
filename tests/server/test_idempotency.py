"""`Idempotency-Key`: a request is carried out once; repetitions get its response, while it is made and afterwards."""

import asyncio
import gzip
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from scripted import Served, clean, fails, in_sequence, pauses, replies, served

from dragoman.core import errors

_clean = pytest.fixture(autouse=True)(clean)

KEY = {"idempotency-key": "order-1"}
BODIES: Mapping[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "sonnet", "messages": [{"role": "user", "content": "Say it"}]},
    "/v1/messages": {"model": "sonnet", "max_tokens": 50, "messages": [{"role": "user", "content": "Say it"}]},
    "/v1/responses": {"model": "sonnet", "input": "Say it"},
}
PATHS = list(BODIES)


async def post(gateway: Served, path: str, headers: Mapping[str, str] = KEY, **fields: Any) -> Any:
    """Send a request with the key, and return its response."""
    return await gateway.http.post(path, json=BODIES[path] | fields, headers=headers)


def numbers(stream: str) -> list[int]:
    """Return the ids of the events of a stream."""
    return [int(line[4:]) for line in stream.splitlines() if line.startswith("id: ")]


@pytest.mark.parametrize("path", PATHS)
async def test_a_repetition_gets_the_first_response(path: str, tmp_path: Path) -> None:
    """Afterwards and after a restart, byte for byte and with one run, plain and streamed."""
    async with served(in_sequence(replies("Hello"), replies("Hi")), state_dir=tmp_path) as gateway:
        first, again = await post(gateway, path), await post(gateway, path)
        streamed = await post(gateway, path, {"idempotency-key": "order-2"}, stream=True)
        assert len(gateway.backend.requests) == 2
    async with served(fails(AssertionError()), state_dir=tmp_path) as gateway:
        later = await post(gateway, path)
        stream_again = await post(gateway, path, {"idempotency-key": "order-2"}, stream=True)
        assert gateway.backend.requests == []
    assert [answer.status_code for answer in (first, again, later)] == [200] * 3
    assert first.text == again.text == later.text
    assert "Hello" in first.text
    assert [answer.headers.get("idempotent-replayed") for answer in (first, again, later)] == [None, "true", "true"]
    assert first.headers["x-dragoman-run-id"] == again.headers["x-dragoman-run-id"]
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    assert stream_again.text == streamed.text
    assert numbers(streamed.text) == list(range(streamed.text.count("\n\n")))


@pytest.mark.parametrize("path", PATHS)
async def test_a_cut_stream_is_taken_up_again(path: str, tmp_path: Path) -> None:
    """While the run continues without its client: from any event on, and from the beginning."""
    proceed = asyncio.Event()
    async with served(pauses(proceed), state_dir=tmp_path) as gateway:
        body = BODIES[path] | {"stream": True}
        seen = ""
        async with gateway.http.stream("POST", path, json=body, headers=KEY) as stream:
            async for part in stream.aiter_text():
                seen += part
                if "Hel" in seen:
                    break
        last = numbers(seen)[-1]

        async def collect(headers: Mapping[str, str], params: Mapping[str, str]) -> str:
            async with gateway.http.stream("POST", path, json=body, headers=headers, params=params) as stream:
                return "".join([part async for part in stream.aiter_text()])

        async with asyncio.TaskGroup() as group:
            rest = group.create_task(collect(KEY | {"last-event-id": str(last)}, {}))
            same = group.create_task(collect(KEY, {"starting_after": str(last)}))
            complete = group.create_task(collect(KEY, {}))
            async with gateway.http.stream("POST", path, json=body, headers=KEY) as fourth:
                await anext(fourth.aiter_text())
            proceed.set()
        assert len(gateway.backend.requests) == 1
        metrics = await gateway.metrics_text()
    assert seen + rest.result() == complete.result()
    assert same.result() == rest.result()
    assert numbers(rest.result())[0] == last + 1
    assert 'dragoman_runs_total{model="claude-sonnet-5-5",path="warm",status="succeeded"} 1.0' in metrics


@pytest.mark.parametrize("path", PATHS)
async def test_another_body_is_refused(path: str, tmp_path: Path) -> None:
    """With 422 in the client's dialect, while the first request is carried out and afterwards."""
    proceed = asyncio.Event()
    async with served(pauses(proceed), state_dir=tmp_path) as gateway, asyncio.TaskGroup() as group:
        first = group.create_task(post(gateway, path))
        await gateway.backend.started.wait()
        early = await post(gateway, path, temperature=0.5)
        proceed.set()
        assert (await first).status_code == 200
        late = await post(gateway, path, temperature=0.5)
        other_path = await post(gateway, next(one for one in PATHS if one != path))
    error = early.json()["error"]
    assert [answer.status_code for answer in (early, late, other_path)] == [422] * 3
    assert error["type"] == "invalid_request_error"
    assert (error["details"] if path == "/v1/messages" else error)["code"] == "idempotency_key_reused"


async def test_simultaneous_requests_are_one_run(tmp_path: Path) -> None:
    """As a client sends them that gives up early."""
    proceed = asyncio.Event()
    async with served(pauses(proceed), state_dir=tmp_path) as gateway, asyncio.TaskGroup() as group:
        tasks = [group.create_task(post(gateway, PATHS[0])) for _ in range(5)]
        await gateway.backend.started.wait()
        proceed.set()
        texts = {(await task).text for task in tasks}
        assert (len(texts), len(gateway.backend.requests)) == (1, 1)


async def test_an_error_is_not_recorded(tmp_path: Path) -> None:
    """A repetition is carried out: nothing was answered before."""
    script = in_sequence(fails(errors.Overloaded("Busy")), replies("Hello"))
    async with served(script, state_dir=tmp_path) as gateway:
        invalid = await post(gateway, PATHS[0], temperature="hot")
        first, again = await post(gateway, PATHS[0]), await post(gateway, PATHS[0])
    assert [answer.status_code for answer in (invalid, first, again)] == [400, 503, 200]
    assert "idempotent-replayed" not in again.headers


async def test_the_key_belongs_to_a_client_key(tmp_path: Path) -> None:
    """The same key of two clients is two requests, and neither sees the other's response."""
    keys = {"a": {"api_key": "secret-a"}, "b": {"api_key": "secret-b"}}
    async with served(in_sequence(replies("for a"), replies("for b")), state_dir=tmp_path, keys=keys) as gateway:
        texts = [(await post(gateway, PATHS[0], KEY | {"x-api-key": f"secret-{name}"})).text for name in "aba"]
    assert "for a" in texts[0]
    assert "for b" in texts[1]
    assert texts[2] == texts[0]


async def test_an_interrupted_request_says_so(tmp_path: Path) -> None:
    """If the gateway was killed while it carried the request out: 409, and no second run."""
    async with served(replies("Hello"), state_dir=tmp_path) as gateway:
        await post(gateway, PATHS[0])
        with closing(sqlite3.connect(tmp_path / "recordings.db")) as file, file:
            file.execute("UPDATE recordings SET response = NULL, producer = '1@1.0'")
        again = await post(gateway, PATHS[0])
        assert len(gateway.backend.requests) == 1
        with closing(sqlite3.connect(tmp_path / "recordings.db")) as file, file:
            file.execute("UPDATE recordings SET producer = (SELECT ? || '@' || ?)", _init_process())
        elsewhere = await post(gateway, PATHS[0])
    assert (again.status_code, again.json()["error"]["code"]) == (409, "idempotent_request_interrupted")
    assert (elsewhere.status_code, elsewhere.json()["error"]["code"]) == (409, "idempotent_request_in_progress")


def _init_process() -> tuple[int, float]:
    import psutil  # noqa: PLC0415 - only here

    parent = psutil.Process().parent()
    assert parent is not None
    return parent.pid, parent.create_time()


async def test_embeddings_and_counts_are_recorded_too(tmp_path: Path) -> None:
    """Every POST takes the key; an unknown path stays unknown."""
    async with served(replies("Hello"), state_dir=tmp_path) as gateway:
        unknown = [await gateway.http.post("/v1/nothing", json={}, headers=KEY) for _ in range(2)]
        run = (await post(gateway, PATHS[0])).headers["x-dragoman-run-id"]
        cancel = [
            await gateway.http.post(f"/admin/runs/{run}/cancel", headers={"idempotency-key": "c"}) for _ in range(2)
        ]
    assert [answer.status_code for answer in unknown] == [404, 404]
    assert [answer.status_code for answer in cancel] == [409, 409]


@pytest.mark.parametrize("key", ["", "x" * 256, "ä"])
async def test_a_key_that_is_not_valid_is_refused(key: str, tmp_path: Path) -> None:
    """With 400."""
    async with served(replies("Hello"), state_dir=tmp_path) as gateway:
        headers = [(b"idempotency-key", key.encode()), (b"content-type", b"application/json")]
        answer = await gateway.http.post(PATHS[0], json=BODIES[PATHS[0]], headers=headers)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Idempotency-Key")


async def test_a_stream_is_not_continued_without_its_key(tmp_path: Path) -> None:
    """It would be another run. A position must be a number."""
    async with served(replies("Hello"), state_dir=tmp_path) as gateway:
        without = await post(gateway, PATHS[0], {"last-event-id": "3"}, stream=True)
        invalid = await post(gateway, PATHS[0], KEY | {"last-event-id": "x"}, stream=True)
        assert gateway.backend.requests == []
    assert [answer.status_code for answer in (without, invalid)] == [400, 400]
    assert invalid.json()["error"]["param"] == "Last-Event-ID"


async def test_the_header_is_refused_if_nothing_is_recorded(tmp_path: Path) -> None:
    """It is not ignored: the client relies on it."""
    async with served(replies("Hello"), state_dir=tmp_path, idempotency_ttl=0) as gateway:
        answer = await post(gateway, PATHS[0])
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported_parameter")


async def test_without_its_store_nothing_is_carried_out(tmp_path: Path) -> None:
    """It could be carried out twice. Requests without a key are answered."""
    (tmp_path / "recordings.db").mkdir()  # no file can be there
    async with served(replies("Hello"), state_dir=tmp_path) as gateway:
        refused, answered = await post(gateway, PATHS[0]), await post(gateway, PATHS[0], {})
        assert len(gateway.backend.requests) == 1
        failures = (await gateway.http.get("/health/ready")).json()["failures"]
    assert (refused.status_code, refused.json()["error"]["code"], answered.status_code) == (503, "store_failed", 200)
    assert "store recordings.db" in failures


async def test_a_compressed_body_is_the_same_request(tmp_path: Path) -> None:
    """The bodies are compared as they are decoded."""
    async with served(replies("Hello"), state_dir=tmp_path) as gateway:
        first = await post(gateway, PATHS[0])
        body = gzip.compress(first.request.content)
        headers = KEY | {"content-encoding": "gzip", "content-type": "application/json"}
        again = await gateway.http.post(PATHS[0], content=body, headers=headers)
        new = await gateway.http.post(PATHS[0], content=body, headers=headers | {"idempotency-key": "order-2"})
        assert len(gateway.backend.requests) == 2
    assert again.text == first.text
    assert new.status_code == 200


async def test_large_bodies_share_one_reservation(tmp_path: Path) -> None:
    """A body as large as the whole memory for bodies is carried out, not waited for."""
    async with served(replies("Hello"), state_dir=tmp_path, max_body_memory=2**20) as gateway:
        messages = [{"role": "user", "content": "x" * 600_000}]
        answers = [await post(gateway, PATHS[0], messages=messages) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].text == answers[1].text
