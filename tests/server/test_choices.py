"""Several choices in one request: slots, order, usage, and a full queue."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from chat_support import chunks
from scripted import MESSAGES, Script, clean, ending, hangs, opening, served, text

from dragoman.backends.base import RunRequest
from dragoman.core.events import Event

_clean = pytest.fixture(autouse=True)(clean)

BODY: dict[str, Any] = {"messages": MESSAGES, "n": 8}
URL = "/v1/chat/completions"


class CountingScript:
    """A script whose runs reply with their own number, and that counts how many run at once.

    Attributes:
        max_running: The maximum of concurrent runs.
    """

    def __init__(self) -> None:
        self.max_running = 0
        self._running = 0
        self._number = 0

    async def __call__(self, _request: RunRequest) -> AsyncGenerator[Event, None]:
        """A script whose runs send their own number, and that counts how many run at once."""
        number, self._number = self._number, self._number + 1
        self._running += 1
        self.max_running = max(self.max_running, self._running)
        try:
            for event in self._events(number):
                yield event
                await asyncio.sleep(0)
        finally:
            self._running -= 1

    def _events(self, number: int) -> Sequence[Event]:
        return [*opening(), text("I am "), text(str(number)), *ending()]


def first_run_ends_last(count: int) -> Script:
    """Return a script whose first run replies after all others."""
    number = 0
    done = 0
    others = asyncio.Event()

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        nonlocal number, done
        own, number = number, number + 1
        if own == 0:
            await others.wait()
        for event in (*opening(), text(f"I am {own}"), *ending()):
            yield event
        done += 1
        if done == count - 1:
            others.set()

    return script


@pytest.mark.parametrize("slots", [1, 3, 8])
async def test_more_choices_than_slots(slots: int) -> None:
    """The choices wait for slots without a deadlock. The usage is the sum of all."""
    script = CountingScript()
    async with served(script, max_concurrency=slots, max_queue_size=8) as gateway:
        body = (await gateway.http.post(URL, json=BODY)).json()
    texts = [choice["message"]["content"] for choice in body["choices"]]
    assert texts == [f"I am {number}" for number in range(8)]
    assert [choice["index"] for choice in body["choices"]] == list(range(8))
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (40, 56)
    assert script.max_running == slots
    assert len({request.id for request in gateway.backend.requests}) == 8


@pytest.mark.parametrize("slots", [1, 3, 8])
async def test_choices_stream_concurrently(slots: int) -> None:
    """Each choice is complete under its own index. The stream has one usage and one end."""
    request_body = {**BODY, "stream": True, "stream_options": {"include_usage": True}}
    async with served(CountingScript(), max_concurrency=slots, max_queue_size=8) as gateway:
        stream = (await gateway.http.post(URL, json=request_body)).content
    found = chunks(stream)
    for index in range(8):
        own = [one for chunk in found for one in chunk["choices"] if one["index"] == index]
        assert own[0]["delta"]["role"] == "assistant"
        assert "".join(one["delta"].get("content") or "" for one in own) == f"I am {index}"
        assert [one["finish_reason"] for one in own if one["finish_reason"]] == ["stop"]
    assert (found[-1]["choices"], found[-1]["usage"]["total_tokens"]) == ([], 96)
    assert len({chunk["id"] for chunk in found}) == 1
    assert stream.count(b"[DONE]") == 1


async def test_choices_keep_their_order() -> None:
    """The first choice stays first, even if its run ends last."""
    async with served(first_run_ends_last(4)) as gateway:
        body = (await gateway.http.post(URL, json={**BODY, "n": 4})).json()
    assert [choice["message"]["content"] for choice in body["choices"]] == [f"I am {number}" for number in range(4)]


async def test_two_requests_share_one_slot() -> None:
    """No request holds a slot while it waits for another."""
    async with served(CountingScript(), max_concurrency=1, max_queue_size=16) as gateway:
        tasks = [gateway.http.post(URL, json={**BODY, "stream": stream}) for stream in (False, True)]
        plain, streamed = await asyncio.gather(*tasks)
    assert len(plain.json()["choices"]) == 8
    assert streamed.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [False, True])
async def test_queue_full_after_some_choices(*, stream: bool) -> None:
    """The request is refused once, and the choices that were queued do not run."""
    async with served(CountingScript(), max_concurrency=2, max_queue_size=3) as gateway:
        refused = await gateway.http.post(URL, json={**BODY, "stream": stream})
        health = (await gateway.http.get("/health/ready")).json()
        request_count = len(gateway.backend.requests)
        again = await gateway.http.post(URL, json={**BODY, "n": 5})
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "queue_full"
    assert int(refused.headers["retry-after"]) >= 1
    assert (health["runs"], request_count) == ({"running": 0, "queued": 0}, 0)
    assert again.status_code == 200


async def test_disconnect_ends_all_choices() -> None:
    """Running and queued choices end."""
    async with served(hangs(after=opening()), max_concurrency=2) as gateway:
        tasks = asyncio.create_task(gateway.http.post(URL, json=BODY))
        await gateway.backend.started.wait()
        tasks.cancel()
        await asyncio.wait([tasks])
        while (await gateway.http.get("/health/ready")).json()["runs"] != {"running": 0, "queued": 0}:
            pass
    assert len(gateway.backend.requests) <= 2


async def test_too_many_choices() -> None:
    """The limit is eight by default."""
    async with served(CountingScript()) as gateway:
        body = await gateway.http.post(URL, json={**BODY, "n": 9})
    assert (body.status_code, body.json()["error"]["param"]) == (400, "n")
    assert gateway.backend.requests == []
