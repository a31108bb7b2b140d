"""Several answers to one question: places, order, usage, and what happens when there is no room."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from chat_support import chunks
from scripted import MESSAGES, Script, clean, ending, hangs, opening, served, text

from dragoman.backends.base import RunRequest
from dragoman.core.events import Event

_clean = pytest.fixture(autouse=True)(clean)

ASKED: dict[str, Any] = {"messages": MESSAGES, "n": 8}
URL = "/v1/chat/completions"


class Crowd:
    """A script whose runs say their own number, and that counts how many go on at once.

    Attributes:
        most: The most at once.
    """

    def __init__(self) -> None:
        self.most = 0
        self._now = 0
        self._number = 0

    async def __call__(self, _request: RunRequest) -> AsyncGenerator[Event, None]:
        """Answer, letting the others have their turn between any two events."""
        number, self._number = self._number, self._number + 1
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            for event in self._events(number):
                yield event
                await asyncio.sleep(0)
        finally:
            self._now -= 1

    def _events(self, number: int) -> Sequence[Event]:
        return [*opening(), text("I am "), text(str(number)), *ending()]


def last_first(count: int) -> Script:
    """The first run that is asked answers after all others have."""
    number = 0
    done = 0
    others = asyncio.Event()

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        nonlocal number, done
        mine, number = number, number + 1
        if mine == 0:
            await others.wait()
        for event in (*opening(), text(f"I am {mine}"), *ending()):
            yield event
        done += 1
        if done == count - 1:
            others.set()

    return script


@pytest.mark.parametrize("places", [1, 3, 8])
async def test_more_choices_than_places(places: int) -> None:
    """They wait for each other, and never for ever; the usage is that of all."""
    crowd = Crowd()
    async with served(crowd, max_concurrency=places, max_queue_size=8) as gateway:
        made = (await gateway.http.post(URL, json=ASKED)).json()
    said = [choice["message"]["content"] for choice in made["choices"]]
    assert said == [f"I am {number}" for number in range(8)]
    assert [choice["index"] for choice in made["choices"]] == list(range(8))
    assert (made["usage"]["prompt_tokens"], made["usage"]["completion_tokens"]) == (40, 56)
    assert crowd.most == places
    assert len({request.id for request in gateway.backend.requests}) == 8


@pytest.mark.parametrize("places", [1, 3, 8])
async def test_choices_stream_side_by_side(places: int) -> None:
    """Each whole under its own index, with its role and reason; one usage and one end for all."""
    asked = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}
    async with served(Crowd(), max_concurrency=places, max_queue_size=8) as gateway:
        stream = (await gateway.http.post(URL, json=asked)).content
    found = chunks(stream)
    for index in range(8):
        own = [one for chunk in found for one in chunk["choices"] if one["index"] == index]
        assert own[0]["delta"]["role"] == "assistant"
        assert "".join(one["delta"].get("content") or "" for one in own) == f"I am {index}"
        assert [one["finish_reason"] for one in own if one["finish_reason"]] == ["stop"]
    assert (found[-1]["choices"], found[-1]["usage"]["total_tokens"]) == ([], 96)
    assert len({chunk["id"] for chunk in found}) == 1
    assert stream.count(b"[DONE]") == 1


async def test_order_is_of_the_question_not_of_the_answers() -> None:
    """The first choice stays the first, though it comes last."""
    async with served(last_first(4)) as gateway:
        made = (await gateway.http.post(URL, json={**ASKED, "n": 4})).json()
    assert [choice["message"]["content"] for choice in made["choices"]] == [f"I am {number}" for number in range(4)]


async def test_two_crowds_share_one_place() -> None:
    """No client holds a place while it waits for another."""
    async with served(Crowd(), max_concurrency=1, max_queue_size=16) as gateway:
        asking = [gateway.http.post(URL, json={**ASKED, "stream": stream}) for stream in (False, True)]
        plain, streamed = await asyncio.gather(*asking)
    assert len(plain.json()["choices"]) == 8
    assert streamed.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_queue_that_is_full_in_the_middle(*, stream: bool) -> None:
    """One clean refusal; the choices that had found room are given up before Claude is asked."""
    async with served(Crowd(), max_concurrency=2, max_queue_size=3) as gateway:
        refused = await gateway.http.post(URL, json={**ASKED, "stream": stream})
        health = (await gateway.http.get("/health/ready")).json()
        asked = len(gateway.backend.requests)
        again = await gateway.http.post(URL, json={**ASKED, "n": 5})
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "queue_full"
    assert int(refused.headers["retry-after"]) >= 1
    assert (health["runs"], asked) == ({"running": 0, "queued": 0}, 0)
    assert again.status_code == 200


async def test_a_client_that_leaves_takes_all_its_choices_along() -> None:
    """Those that run and those that wait."""
    async with served(hangs(after=opening()), max_concurrency=2) as gateway:
        asking = asyncio.create_task(gateway.http.post(URL, json=ASKED))
        await gateway.backend.started.wait()
        asking.cancel()
        await asyncio.wait([asking])
        while (await gateway.http.get("/health/ready")).json()["runs"] != {"running": 0, "queued": 0}:
            pass
    assert len(gateway.backend.requests) <= 2


async def test_too_many_choices_are_refused_by_name() -> None:
    """Eight, where the owner has not said more."""
    async with served(Crowd()) as gateway:
        made = await gateway.http.post(URL, json={**ASKED, "n": 9})
    assert (made.status_code, made.json()["error"]["param"]) == (400, "n")
    assert gateway.backend.requests == []
