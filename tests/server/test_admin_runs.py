"""The admin API's runs, over HTTP."""

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
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A state directory of the test's own."""
    clean(monkeypatch, tmp_path)
    monkeypatch.setenv("DRAGOMAN_STATE_DIR", str(tmp_path / "state"))


async def ask(gateway: Served, model: str = "sonnet", **headers: str) -> str:
    """Ask, and return the run's id."""
    answer = await gateway.http.post("/v1/chat/completions", json={**BODY, "model": model}, headers=headers)
    return answer.headers["x-dragoman-run-id"]


async def last(chunks: AsyncIterator[object]) -> None:
    """Read to the end."""
    async for _ in chunks:
        pass


def parsed(told: str) -> list[tuple[str, dict[str, object]]]:
    """Events by name; comments say nothing."""
    parts = [part.split("\n") for part in told.split("\n\n") if part.startswith("event: ")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in parts]


async def test_the_list() -> None:
    """What was asked stands in it, the newest first; filters and pages choose from it."""
    async with served(replies("Hello")) as gateway:
        made = [await ask(gateway, model) for model in ("sonnet", "haiku", "sonnet")]
        told = (await gateway.http.get("/admin/runs")).json()
        page = (await gateway.http.get("/admin/runs", params={"model": "sonnet", "limit": 1})).json()
        rest = (await gateway.http.get(f"/admin/runs?model=sonnet&after={page['runs'][0]['id']}")).json()
        none = (await gateway.http.get("/admin/runs?status=failed,queued&status=running&since=1h&client=local")).json()
    assert [run["id"] for run in told["runs"]] == made[::-1]
    assert told["more"] is False
    assert told["runs"][0]["endpoint"] == "/v1/chat/completions"
    assert told["runs"][0]["usage"] == {"input_tokens": 5, "output_tokens": 7}
    assert told["runs"][0]["cost"] == pytest.approx(8e-5)
    assert ([run["id"] for run in page["runs"]], page["more"]) == ([made[2]], True)
    assert ([run["id"] for run in rest["runs"]], rest["more"]) == ([made[0]], False)
    assert none == {"runs": [], "more": False}


async def test_one_run() -> None:
    """By the id of the header, with the request's id; what was said is not kept."""
    async with served(replies("Hello")) as gateway:
        id_ = await ask(gateway, **{"x-request-id": "mine"})
        told = (await gateway.http.get(f"/admin/runs/{id_}")).json()
    assert (told["id"], told["request_id"], told["status"]) == (id_, "mine", "succeeded")
    assert not {"asked", "answered"} & set(told)


async def test_what_was_said(tmp_path: Path) -> None:
    """With the setting it is kept, and shown again after a new start."""
    async with served(replies("Hello"), runs_content=True) as gateway:
        id_ = await ask(gateway)
    async with served(replies("Hello"), runs_content=True) as gateway:
        told = (await gateway.http.get(f"/admin/runs/{id_}")).json()
        shown = parsed((await gateway.http.get(f"/admin/runs/{id_}/events")).text)
    assert told["asked"]["messages"][0]["content"][0]["text"] == "Say it"
    assert told["answered"]["content"] == [{"type": "text", "text": "Hello"}]
    assert [name for name, _ in shown] == ["run", "message", "end"]
    assert shown[1][1] == told["answered"]
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
    """Each is refused by name, in the admin API's own form."""
    async with served(replies("Hello")) as gateway:
        answer = await gateway.http.get(f"/admin/runs?{query}")
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert set(error) == {"code", "message", "param", "request_id"}


async def test_what_is_not_there() -> None:
    """Runs, pages and paths."""
    async with served(replies("Hello")) as gateway:
        asked = ["/admin/runs/run_x", "/admin/runs/run_x/events", "/admin/runs?after=run_x", "/admin/x"]
        answers = [await gateway.http.get(path) for path in asked]
        answers.append(await gateway.http.post("/admin/runs/run_x/cancel"))
    assert [(one.status_code, one.json()["error"]["code"]) for one in answers] == [
        (404, "not_found"),
        (404, "not_found"),
        (404, "not_found"),
        (404, "unknown_url"),
        (404, "not_found"),
    ]


async def test_it_is_keyed() -> None:
    """Like everything else."""
    async with served(replies("Hello"), api_key=KEY) as gateway:
        for method, path in (("GET", ""), ("GET", "/run_x"), ("GET", "/run_x/events"), ("POST", "/run_x/cancel")):
            refused = await gateway.http.request(method, f"/admin/runs{path}")
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
        assert (await gateway.http.get("/admin/runs", headers={"x-api-key": KEY})).status_code == 200


async def test_following() -> None:
    """First how it stands, then what was said so far as a whole, then each event as it comes, last how it ended."""
    go = asyncio.Event()

    async def script(_request: object) -> AsyncGenerator[Event, None]:
        for event in [*opening(), text("Hel")]:
            yield event
        await go.wait()
        yield Retrying(1, 0.5, "overloaded")
        yield Restarted()
        for event in [*opening(), text("Hello"), *ending()]:
            yield event

    async with served(script, heartbeat=0.05) as gateway:
        asking = asyncio.create_task(ask(gateway))
        await gateway.backend.started.wait()
        id_ = (await gateway.http.get("/admin/runs")).json()["runs"][0]["id"]
        async with gateway.http.stream("GET", f"/admin/runs/{id_}/events") as answer:
            parts = answer.aiter_text()
            before = ""
            while "still there" not in before:
                before += await anext(parts)
            go.set()
            after = "".join([part async for part in parts])
        await asking
    first, so_far = parsed(before)
    assert (first[0], first[1]["id"], first[1]["status"]) == ("run", id_, "running")
    assert (so_far[0], so_far[1]["content"]) == ("message", [{"type": "text", "text": "Hel"}])
    assert answer.headers["content-type"].startswith("text/event-stream")
    names = [name for name, _ in parsed(after)]
    assert names == [
        *("retrying", "restarted", "started", "message_start", "content_block_start", "content_block_delta"),
        *("content_block_stop", "message_delta", "message_stop", "end"),
    ]
    assert parsed(after)[-1][1]["status"] == "succeeded"


async def test_following_where_nothing_is_kept() -> None:
    """The run is known while it goes on, and its end is told like any other's."""
    go = asyncio.Event()

    async def script(_request: object) -> AsyncGenerator[Event, None]:
        yield opening()[0]
        await go.wait()
        for event in [*opening()[1:], text("Hello"), *ending()]:
            yield event

    async with served(script, runs_kept=0) as gateway:
        asking = asyncio.create_task(ask(gateway))
        await gateway.backend.started.wait()
        id_ = (await gateway.http.get("/admin/runs")).json()["runs"][0]["id"]
        async with gateway.http.stream("GET", f"/admin/runs/{id_}/events") as answer:
            parts = answer.aiter_text()
            said = await anext(parts)
            go.set()
            said += "".join([part async for part in parts])
        await asking
    assert (parsed(said)[-1][0], parsed(said)[-1][1]["status"]) == ("end", "succeeded")


async def test_following_a_run_that_waits() -> None:
    """It is told when the run gets its place."""
    async with served(hangs(after=opening()), max_concurrency=1) as gateway:
        first = asyncio.create_task(ask(gateway))
        await gateway.backend.started.wait()
        gateway.backend.started.clear()
        second = asyncio.create_task(ask(gateway))
        while len(found := (await gateway.http.get("/admin/runs")).json()["runs"]) < 2:
            pass
        waiting, running = (run["id"] for run in found)
        async with gateway.http.stream("GET", f"/admin/runs/{waiting}/events") as answer:
            parts = answer.aiter_text()
            said = await anext(parts)
            await gateway.http.post(f"/admin/runs/{running}/cancel")
            await gateway.backend.started.wait()
            await gateway.http.post(f"/admin/runs/{waiting}/cancel")
            said += "".join([part async for part in parts])
        await asyncio.gather(first, second)
    told = parsed(said)
    assert told[0][1]["status"] == "queued"
    assert ("status", {"status": "running"}) in told
    assert (told[-1][0], told[-1][1]["status"]) == ("end", "cancelled")


async def test_cancelling_a_plain_answer() -> None:
    """The client gets an error of its dialect, and no client asks again by itself; then there is nothing to cancel."""
    async with served(hangs(after=opening())) as gateway:
        asking = asyncio.create_task(
            gateway.openai.with_options(max_retries=2).chat.completions.create(model="sonnet", messages=MESSAGES)
        )
        await gateway.backend.started.wait()
        [run] = (await gateway.http.get("/admin/runs?status=running")).json()["runs"]
        told = await gateway.http.post(f"/admin/runs/{run['id']}/cancel")
        with pytest.raises(openai.APIStatusError) as caught:
            await asking
        again = await gateway.http.post(f"/admin/runs/{run['id']}/cancel")
        assert len(gateway.backend.requests) == 1
    assert (told.status_code, told.json()["status"], told.json()["error"]) == (200, "cancelled", "run_cancelled")
    assert (caught.value.status_code, caught.value.code) == (499, "run_cancelled")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")


async def test_cancelling_a_stream() -> None:
    """It ends in an error event, which the official client raises."""
    async with served(hangs(after=[*opening(), text("Hel")])) as gateway:
        stream = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, stream=True)
        chunks = aiter(stream)
        await anext(chunks)
        [run] = (await gateway.http.get("/admin/runs")).json()["runs"]
        await gateway.http.post(f"/admin/runs/{run['id']}/cancel")
        with pytest.raises(openai.APIError) as caught:
            await last(chunks)
    assert caught.value.code == "run_cancelled"


async def test_a_run_that_failed() -> None:
    """Its error's code stands in the list."""
    async with served(fails(Overloaded("Busy."))) as gateway:
        id_ = await ask(gateway)
        told = (await gateway.http.get(f"/admin/runs/{id_}")).json()
    assert (told["status"], told["error"], told["cost"]) == ("failed", "overloaded", None)
