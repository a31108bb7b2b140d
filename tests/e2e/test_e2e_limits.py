"""Concurrency, the queue, and heartbeats."""

import asyncio
from pathlib import Path

import openai
import pytest
from gateways import OLD, RunningGateway, chat_body, gateway, user_message, with_timeout
from scripted import clean

_REQUESTS = 12
"""Three for each slot. Each starts a process of its own, which takes most of a second."""

nothing_of_this_machine = pytest.fixture(autouse=True)(clean)


async def test_many_concurrent_requests_share_four_slots(tmp_path: Path) -> None:
    """Each gets its own response with one call; at most four run at once."""
    async with gateway(tmp_path, max_concurrency=4, max_live=0, spares=2) as running:

        async def ask(number: int) -> str | None:
            messages = user_message(f"Reply with exactly: {number}")
            response = await running.openai.chat.completions.create(model=OLD, messages=messages)
            return response.choices[0].message.content

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(number)) for number in range(_REQUESTS)]
        assert [task.result() for task in tasks] == [str(number) for number in range(_REQUESTS)]
        assert len(running.simulator.calls) == _REQUESTS
        assert running.backend.max_active_runs == 4


async def test_full_queue_refuses_with_retry_after(tmp_path: Path) -> None:
    """The next request is refused at once; those before it are answered."""
    async with gateway(tmp_path, max_concurrency=1, max_queue_size=0) as running:
        running.simulator.hold()
        waiting = asyncio.create_task(running.http.post("/chat/completions", json=chat_body("One")))
        await with_timeout(running.simulator.wait_for_calls(1))
        with pytest.raises(openai.RateLimitError, match="slots are taken") as caught:
            await running.openai.chat.completions.create(model=OLD, messages=user_message("Two"))
        assert caught.value.code == "queue_full"
        assert int(caught.value.response.headers["retry-after"]) >= 1
        running.simulator.release()
        assert (await waiting).status_code == 200
        assert len(running.simulator.calls) == 1


async def test_disconnect_frees_the_place_in_the_queue(tmp_path: Path) -> None:
    """The request is never sent; the next one moves up."""
    async with gateway(tmp_path, max_concurrency=1, max_queue_size=1) as running:
        running.simulator.hold()
        first = asyncio.create_task(running.http.post("/chat/completions", json=chat_body("One")))
        await with_timeout(running.simulator.wait_for_calls(1))
        leaving = asyncio.create_task(running.http.post("/chat/completions", json=chat_body("Two")))
        await wait_for_queued(running, 1)
        leaving.cancel()
        await wait_for_queued(running, 0)
        third = asyncio.create_task(running.http.post("/chat/completions", json=chat_body("Three")))
        await wait_for_queued(running, 1)
        running.simulator.release()
        assert ((await first).status_code, (await third).status_code) == (200, 200)
        assert len(running.simulator.calls) == 2


async def wait_for_queued(running: RunningGateway, count: int) -> None:
    """Wait until this many requests are queued."""
    while (await running.http.get(f"{running.url}/health/ready")).json()["runs"]["queued"] != count:
        pass


async def test_silent_stream_gets_heartbeats(tmp_path: Path) -> None:
    """Comment lines are sent while the model is silent, and the response after them."""
    async with gateway(tmp_path, heartbeat=0.05) as running:
        running.simulator.hold()
        async with running.http.stream("POST", "/chat/completions", json=chat_body("Hello", stream=True)) as answer:
            lines = (part async for part in answer.aiter_lines() if part)
            beats = [await anext(lines), await anext(lines)]
            running.simulator.release()
            rest = [part async for part in lines]
        assert all(beat.startswith(":") for beat in beats)
        assert rest[-1] == "data: [DONE]"
        assert answer.status_code == 200
