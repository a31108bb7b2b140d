"""The admin API's runs over HTTP."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import openai
import pytest
from scripted import KEY, MESSAGES, Served, clean, ending, fails, hangs, opening, replies, served, text

from dragoman.core.errors import Overloaded
from dragoman.core.events import Event, Restarted, Retrying

BODY = {"model": "sonnet", "messages": MESSAGES}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Use a state directory of the test."""
    clean(monkeypatch, tmp_path)
    monkeypatch.setenv("DRAGOMAN_STATE_DIR", str(tmp_path / "state"))


async def send(gateway: Served, model: str = "sonnet", **headers: str) -> str:
    """Send a chat request, and return the id of its run."""
    answer = await gateway.http.post("/v1/chat/completions", json={**BODY, "model": model}, headers=headers)
    return answer.headers["x-dragoman-run-id"]


async def read_all(chunks: AsyncIterator[object]) -> None:
    """Read a stream to its end."""
    async for _ in chunks:
        pass


def parse_events(body: str) -> list[tuple[str, dict[str, object]]]:
    """Return the events of a stream, each with its name. Comments are left out."""
    parts = [part.split("\n") for part in body.split("\n\n") if part.startswith("event: ")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in parts]


async def test_list() -> None:
    """The list has all runs, newest first. Filters and pages select from it."""
    async with served(replies("Hello")) as gateway:
        ids = [await send(gateway, model) for model in ("sonnet", "haiku", "sonnet")]
        body = (await gateway.http.get("/admin/runs")).json()
        page = (await gateway.http.get("/admin/runs", params={"model": "sonnet", "limit": 1})).json()
        rest = (await gateway.http.get(f"/admin/runs?model=sonnet&after={page['runs'][0]['id']}")).json()
        no_runs = (
            await gateway.http.get("/admin/runs?status=failed,queued&status=running&since=1h&client=local")
        ).json()
    assert [run["id"] for run in body["runs"]] == ids[::-1]
    assert body["more"] is False
    assert body["runs"][0]["endpoint"] == "/v1/chat/completions"
    assert body["runs"][0]["usage"] == {"input_tokens": 5, "output_tokens": 7}
    assert body["runs"][0]["cost"] == pytest.approx(8e-5)
    assert ([run["id"] for run in page["runs"]], page["more"]) == ([ids[2]], True)
    assert ([run["id"] for run in rest["runs"]], rest["more"]) == ([ids[0]], False)
    assert no_runs == {"runs": [], "more": False}


async def test_one_run() -> None:
    """A run is found by the id from the header. It has the request's id, and no content by default."""
    async with served(replies("Hello")) as gateway:
        id_ = await send(gateway, **{"x-request-id": "mine"})
        body = (await gateway.http.get(f"/admin/runs/{id_}")).json()
    assert (body["id"], body["request_id"], body["status"]) == (id_, "mine", "succeeded")
    assert not {"asked", "answered"} & set(body)


async def test_stored_content(tmp_path: Path) -> None:
    """With `runs_content` the content is stored encrypted, and returned after a restart too."""
    async with served(replies("Hello"), runs_content=True) as gateway:
        id_ = await send(gateway)
    async with served(replies("Hello"), runs_content=True) as gateway:
        body = (await gateway.http.get(f"/admin/runs/{id_}")).json()
        events = parse_events((await gateway.http.get(f"/admin/runs/{id_}/events")).text)
    assert body["asked"]["messages"][0]["content"][0]["text"] == "Say it"
    assert body["answered"]["content"] == [{"type": "text", "text": "Hello"}]
    assert [name for name, _ in events] == ["run", "message", "end"]
    assert events[1][1] == body["answered"]
    assert all(b"Say it" not in path.read_bytes() for path in (tmp_path / "state").iterdir() if path.is_file())


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("status=odd", "status"),
        ("since=x", "since"),
        (f"since={'9' * 400}d", "since"),
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("limit=²", "limit"),
        (f"limit={'9' * 5000}", "limit"),
        ("modle=x", "modle"),
    ],
)
async def test_bad_filters(query: str, param: str) -> None:
    """An invalid filter is refused with its name, in the admin API's error form."""
    async with served(replies("Hello")) as gateway:
        answer = await gateway.http.get(f"/admin/runs?{query}")
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert set(error) == {"code", "message", "param", "request_id"}


async def test_not_found() -> None:
    """Unknown runs, pages and paths are errors."""
    async with served(replies("Hello")) as gateway:
        paths = ["/admin/runs/run_x", "/admin/runs/run_x/events", "/admin/runs?after=run_x", "/admin/x"]
        answers = [await gateway.http.get(path) for path in paths]
        answers.append(await gateway.http.post("/admin/runs/run_x/cancel"))
    assert [(one.status_code, one.json()["error"]["code"]) for one in answers] == [
        (404, "not_found"),
        (404, "not_found"),
        (404, "not_found"),
        (404, "unknown_url"),
        (404, "not_found"),
    ]


async def test_key_is_required() -> None:
    """Every path of the admin API needs the key."""
    async with served(replies("Hello"), api_key=KEY) as gateway:
        for method, path in (("GET", ""), ("GET", "/run_x"), ("GET", "/run_x/events"), ("POST", "/run_x/cancel")):
            refused = await gateway.http.request(method, f"/admin/runs{path}")
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
        assert (await gateway.http.get("/admin/runs", headers={"x-api-key": KEY})).status_code == 200


async def test_follow() -> None:
    """The stream has the run, the message so far, each further event, and the end."""
    proceed = asyncio.Event()

    async def script(_request: object) -> AsyncGenerator[Event, None]:
        for event in [*opening(), text("Hel")]:
            yield event
        await proceed.wait()
        yield Retrying(1, 0.5, "overloaded")
        yield Restarted()
        for event in [*opening(), text("Hello"), *ending()]:
            yield event

    async with served(script, heartbeat=0.05) as gateway:
        task = asyncio.create_task(send(gateway))
        await gateway.backend.started.wait()
        id_ = (await gateway.http.get("/admin/runs")).json()["runs"][0]["id"]
        async with gateway.http.stream("GET", f"/admin/runs/{id_}/events") as answer:
            parts = answer.aiter_text()
            before = ""
            while "still there" not in before:
                before += await anext(parts)
            proceed.set()
            after = "".join([part async for part in parts])
        await task
    first, so_far = parse_events(before)
    assert (first[0], first[1]["id"], first[1]["status"]) == ("run", id_, "running")
    assert (so_far[0], so_far[1]["content"]) == ("message", [{"type": "text", "text": "Hel"}])
    assert answer.headers["content-type"].startswith("text/event-stream")
    names = [name for name, _ in parse_events(after)]
    assert names == [
        *("retrying", "restarted", "started", "message_start", "content_block_start", "content_block_delta"),
        *("content_block_stop", "message_delta", "message_stop", "end"),
    ]
    assert parse_events(after)[-1][1]["status"] == "succeeded"


async def test_follow_without_stored_runs() -> None:
    """A run can be followed while it is running, even if no run is stored."""
    proceed = asyncio.Event()

    async def script(_request: object) -> AsyncGenerator[Event, None]:
        yield opening()[0]
        await proceed.wait()
        for event in [*opening()[1:], text("Hello"), *ending()]:
            yield event

    async with served(script, runs_kept=0) as gateway:
        task = asyncio.create_task(send(gateway))
        await gateway.backend.started.wait()
        id_ = (await gateway.http.get("/admin/runs")).json()["runs"][0]["id"]
        async with gateway.http.stream("GET", f"/admin/runs/{id_}/events") as answer:
            parts = answer.aiter_text()
            received = await anext(parts)
            proceed.set()
            received += "".join([part async for part in parts])
        await task
    assert (parse_events(received)[-1][0], parse_events(received)[-1][1]["status"]) == ("end", "succeeded")


async def test_follow_queued_run() -> None:
    """The stream reports when the run gets its slot."""
    async with served(hangs(after=opening()), max_concurrency=1) as gateway:
        first = asyncio.create_task(send(gateway))
        await gateway.backend.started.wait()
        gateway.backend.started.clear()
        second = asyncio.create_task(send(gateway))
        while len(found := (await gateway.http.get("/admin/runs")).json()["runs"]) < 2:
            pass
        waiting, running = (run["id"] for run in found)
        async with gateway.http.stream("GET", f"/admin/runs/{waiting}/events") as answer:
            parts = answer.aiter_text()
            received = await anext(parts)
            await gateway.http.post(f"/admin/runs/{running}/cancel")
            await gateway.backend.started.wait()
            await gateway.http.post(f"/admin/runs/{waiting}/cancel")
            received += "".join([part async for part in parts])
        await asyncio.gather(first, second)
    body = parse_events(received)
    assert body[0][1]["status"] == "queued"
    assert ("status", {"status": "running"}) in body
    assert (body[-1][0], body[-1][1]["status"]) == ("end", "cancelled")


async def test_cancel_plain_request() -> None:
    """The client gets an error of its dialect and does not retry. A second cancel is a conflict."""
    async with served(hangs(after=opening())) as gateway:
        task = asyncio.create_task(
            gateway.openai.with_options(max_retries=2).chat.completions.create(model="sonnet", messages=MESSAGES)
        )
        await gateway.backend.started.wait()
        [run] = (await gateway.http.get("/admin/runs?status=running")).json()["runs"]
        body = await gateway.http.post(f"/admin/runs/{run['id']}/cancel")
        with pytest.raises(openai.APIStatusError) as caught:
            await task
        again = await gateway.http.post(f"/admin/runs/{run['id']}/cancel")
        assert len(gateway.backend.requests) == 1
    assert (body.status_code, body.json()["status"], body.json()["error"]) == (200, "cancelled", "run_cancelled")
    assert (caught.value.status_code, caught.value.code) == (499, "run_cancelled")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")


async def test_cancel_stream() -> None:
    """The stream ends with an error event, which the official client raises."""
    async with served(hangs(after=[*opening(), text("Hel")])) as gateway:
        stream = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, stream=True)
        chunks = aiter(stream)
        await anext(chunks)
        [run] = (await gateway.http.get("/admin/runs")).json()["runs"]
        await gateway.http.post(f"/admin/runs/{run['id']}/cancel")
        with pytest.raises(openai.APIError) as caught:
            await read_all(chunks)
    assert caught.value.code == "run_cancelled"


async def test_failed_run() -> None:
    """The run has its error's code."""
    async with served(fails(Overloaded("Busy."))) as gateway:
        id_ = await send(gateway)
        body = (await gateway.http.get(f"/admin/runs/{id_}")).json()
    assert (body["status"], body["error"], body["cost"]) == ("failed", "overloaded", None)
