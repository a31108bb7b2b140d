"""Many requests at once, and silence."""

import asyncio
from pathlib import Path

import openai
import pytest
from gateways import OLD, Running, body, gateway, question, soon
from scripted import clean

nothing_of_this_machine = pytest.fixture(autouse=True)(clean)


async def test_sixty_requests_at_once_against_four_places(tmp_path: Path) -> None:
    """All are answered, each by its own answer, in one call each, and never more than four at once."""
    async with gateway(tmp_path, max_concurrency=4, max_live=0, spares=2) as running:

        async def ask(number: int) -> str | None:
            messages = question(f"Reply with exactly: {number}")
            made = await running.openai.chat.completions.create(model=OLD, messages=messages)
            return made.choices[0].message.content

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(number)) for number in range(60)]
        assert [task.result() for task in tasks] == [str(number) for number in range(60)]
        assert len(running.simulator.calls) == 60
        assert running.backend.most == 4


async def test_a_full_queue_says_when_to_come_back(tmp_path: Path) -> None:
    """The one past the queue is turned away at once; those before it are answered."""
    async with gateway(tmp_path, max_concurrency=1, max_queue_size=0) as running:
        running.simulator.hold()
        waiting = asyncio.create_task(running.http.post("/chat/completions", json=body("One")))
        await soon(running.simulator.wait_for_calls(1))
        with pytest.raises(openai.RateLimitError, match="places are taken") as caught:
            await running.openai.chat.completions.create(model=OLD, messages=question("Two"))
        assert caught.value.code == "queue_full"
        assert int(caught.value.response.headers["retry-after"]) >= 1
        running.simulator.release()
        assert (await waiting).status_code == 200
        assert len(running.simulator.calls) == 1


async def test_a_client_that_leaves_the_queue_gives_its_place_back(tmp_path: Path) -> None:
    """It is never asked for; the next one gets the place."""
    async with gateway(tmp_path, max_concurrency=1, max_queue_size=1) as running:
        running.simulator.hold()
        first = asyncio.create_task(running.http.post("/chat/completions", json=body("One")))
        await soon(running.simulator.wait_for_calls(1))
        leaving = asyncio.create_task(running.http.post("/chat/completions", json=body("Two")))
        await queued(running, 1)
        leaving.cancel()
        await queued(running, 0)
        third = asyncio.create_task(running.http.post("/chat/completions", json=body("Three")))
        await queued(running, 1)
        running.simulator.release()
        assert ((await first).status_code, (await third).status_code) == (200, 200)
        assert len(running.simulator.calls) == 2


async def queued(running: Running, count: int) -> None:
    """Return once so many wait."""
    while (await running.http.get(f"{running.url}/health/ready")).json()["runs"]["queued"] != count:
        pass


async def test_a_silent_stream_is_kept_awake(tmp_path: Path) -> None:
    """Comment lines come while the model thinks, and the answer after them."""
    async with gateway(tmp_path, heartbeat=0.05) as running:
        running.simulator.hold()
        async with running.http.stream("POST", "/chat/completions", json=body("Hello", stream=True)) as answer:
            lines = (part async for part in answer.aiter_lines() if part)
            beats = [await anext(lines), await anext(lines)]
            running.simulator.release()
            rest = [part async for part in lines]
        assert all(beat.startswith(":") for beat in beats)
        assert rest[-1] == "data: [DONE]"
        assert answer.status_code == 200
