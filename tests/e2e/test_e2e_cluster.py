"""Three nodes behind nginx, as in the example: a node is killed in mid-stream, and all of them are replaced."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from clusters import CONFIGURATION, Cluster, cluster
from gateways import chat_body, with_timeout
from scripted import clean

nothing_of_this_machine = pytest.fixture(autouse=True)(clean)

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
KEY = {"idempotency-key": "order-1"}


async def follow(made: Cluster, body: dict[str, object], ready: asyncio.Event, *, lines: int) -> tuple[str, int]:
    """Read a stream to its end. Take it up again after its last event when it is cut.

    Args:
        made: The cluster.
        body: The request.
        ready: Set when the first lines have come.
        lines: Their number.

    Returns:
        The events without the comments, and how often the stream was cut.
    """
    events: list[str] = []
    cuts = 0
    while True:
        last = [line.removeprefix("id: ") for line in events if line.startswith("id: ")]
        headers = KEY | ({"last-event-id": last[-1]} if last else {})
        events = events[: _end_of(events)]
        try:
            async with made.http.stream("POST", CHAT, json=body, headers=headers) as stream:
                if stream.status_code == httpx.codes.BAD_GATEWAY:  # the connection to the killed node was just made
                    cuts += 1
                    continue
                assert stream.status_code == 200
                async for line in stream.aiter_lines():
                    events.append(line)
                    if len(events) > lines:
                        ready.set()
        except httpx.TransportError:
            cuts += 1
        else:
            return "\n".join(line for line in events if line and not line.startswith(":")), cuts


def _end_of(events: Sequence[str]) -> int:
    """Return the number of lines up to the last event that is complete."""
    return max((index + 1 for index, line in enumerate(events) if not line), default=0)


async def test_a_node_is_killed_in_mid_stream_and_the_clients_continue(tmp_path: Path, database: str) -> None:
    """Each takes the stream up after its last event, on another node. Claude was asked once."""
    async with cluster(tmp_path, database) as made:
        body = chat_body("Count to 9\nSimulate: hold after 4", stream=True)
        seen = [asyncio.Event() for _ in range(6)]
        async with asyncio.TaskGroup() as group:
            first = group.create_task(follow(made, body, seen[0], lines=4))
            await seen[0].wait()
            runner = await made.find_runner()
            # nginx takes the nodes in turn, so that some of these clients are at each of them.
            others = [group.create_task(follow(made, body, one, lines=4)) for one in seen[1:]]
            for one in seen[1:]:
                await one.wait()
            made.nodes[(runner + 1) % 3].kill()
            await with_timeout(made.nodes[(runner + 1) % 3].wait())
            made.upstream.release()
        texts = {task.result()[0] for task in (first, *others)}
        assert len(texts) == 1
        assert "data: [DONE]" in texts.pop()
        assert sum(task.result()[1] for task in (first, *others)) >= 1
        assert len([call for call in made.upstream.calls if call.path == "/v1/messages"]) == 1


async def test_a_queued_job_of_a_node_that_is_killed_is_carried_out_by_another(tmp_path: Path, database: str) -> None:
    """Once. The job that it had begun is reported as failed, and Claude is not asked again."""
    async with cluster(tmp_path, database, DRAGOMAN_MAX_CONCURRENCY="1") as made:
        async with made.client(1) as node:
            texts = ("Count to 3\nSimulate: hold after 1", "Say it")
            jobs = [await node.post(RESPONSES, json=chat_job(text)) for text in texts]
            await with_timeout(made.upstream.wait_for_calls(1))
            made.nodes[1].kill()
            await with_timeout(made.nodes[1].wait())
        with psycopg.connect(database, autocommit=True) as connection:  # as half a minute later
            connection.execute("UPDATE dragoman.entries SET lease = 0 WHERE lease IS NOT NULL")
        began, queued = [await ended(made, job.json()["id"]) for job in jobs]
        assert (began["status"], began["error"]["code"]) == ("failed", "server_error")
        assert (queued["status"], queued["output"][0]["content"][0]["text"]) == ("completed", "You said: Say it")
        assert len([call for call in made.upstream.calls if call.path == "/v1/messages"]) == 2


async def ended(made: Cluster, id_: str) -> dict[str, Any]:
    """Return a background response when it has ended."""
    async with made.client(0) as node:
        while (answer := (await node.get(f"{RESPONSES}/{id_}")).json())["status"] in {"queued", "in_progress"}:
            pass
    return dict(answer)


def chat_job(text: str) -> dict[str, object]:
    """Return the body of a background response."""
    return {"model": "haiku", "input": text, "background": True}


async def test_all_nodes_are_replaced_one_after_the_other_under_load(tmp_path: Path, database: str) -> None:
    """No request fails, and no stream is cut."""
    async with cluster(tmp_path, database, DRAGOMAN_SHUTDOWN_DELAY="0.3s", DRAGOMAN_SHUTDOWN_GRACE="60s") as made:
        done = asyncio.Event()
        counts: list[int] = []

        async def load() -> None:
            count = 0
            while not done.is_set():
                answer = await made.http.post(CHAT, json=chat_body("Count to 5\nSimulate: pace 0.02", stream=True))
                assert answer.status_code == 200
                assert answer.text.endswith("data: [DONE]\n\n")
                count += 1
            counts.append(count)

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(load())
            for index in range(3):
                assert await made.stop(index) == 0
                await made.start(index)
                await made.wait_for_requests(index)
            done.set()
        calls = [call for call in made.upstream.calls if call.path == "/v1/messages"]
        assert len(calls) == sum(counts) >= 4


def test_the_example_never_repeats_a_request_that_a_node_has_got() -> None:
    """It may have been charged. Streams are not buffered, and last as long as a run."""
    text = CONFIGURATION.read_text()
    assert "proxy_next_upstream error timeout;" in text
    assert "proxy_buffering off;" in text
    assert "proxy_read_timeout 660s;" in text
