"""A gateway that is killed with SIGKILL, with the real runtime: the state of its work afterwards."""

import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import openai
import psutil
import pytest
from background_gateway import background_gateway, registry, start
from commands import run
from terminals import in_terminal

LONG = "Count to 900\nSimulate: pace 0.1"


def kill(pid: int) -> list[psutil.Process]:
    """Kill a gateway, as a system without free memory does. Return its child processes."""
    process = psutil.Process(pid)
    children = process.children(recursive=True)
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([process], timeout=60)
    return children


def expire_leases(home: Path) -> None:
    """Expire the leases of the killed gateway, as half a minute would."""
    with closing(sqlite3.connect(home / "state" / "dragoman" / "answers.db")) as file, file:
        file.execute("UPDATE entries SET lease = 0").close()


async def test_background_responses(tmp_path: Path) -> None:
    """The next gateway takes the same port and finds them failed. The events of a stream are still stored."""
    async with background_gateway(tmp_path, "--simulate") as gateway:
        port = int(gateway.url.rpartition(":")[2])
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
            finished = await client.responses.create(model="haiku", input="Reply with exactly: PONG", background=True)
            while finished.status in {"queued", "in_progress"}:
                finished = await client.responses.retrieve(finished.id)
            polled = await client.responses.create(model="haiku", input=LONG, background=True)
            stream = await client.responses.create(model="haiku", input=LONG, background=True, stream=True)
            streamed = None
            async for event in stream:
                if event.type == "response.created":
                    streamed = event.response.id
                if event.type == "response.output_text.delta":
                    break
            assert streamed is not None
            running = json.loads((await run(tmp_path, "runs", "--json", "--status", "running")).out)["runs"]
            children = kill(gateway.pid)
            with pytest.raises(openai.APIConnectionError):
                [_ async for _ in stream]
        assert children
        assert psutil.wait_procs(children, timeout=60)[1] == []
        assert registry(tmp_path).running() == []
        _, none = await in_terminal(tmp_path, "status")
        killed = json.loads((await run(tmp_path, "runs", "--json")).out)["runs"]

        again = await start(tmp_path, "--simulate", port=port)
        assert again.code == 0, again.err
        expire_leases(tmp_path)
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
            found = [await client.responses.retrieve(id_) for id_ in (finished.id, polled.id, streamed)]
            events = [event async for event in await client.responses.retrieve(streamed, stream=True)]
            after = await client.responses.create(model="haiku", input="Reply with exactly: PONG")
    assert "No gateway responds at " in none
    # The request id and the endpoint are recorded for background responses, too.
    assert {one["id"][4:] for one in running} == {polled.id[5:], streamed[5:]}
    assert {one["endpoint"] for one in running} == {"/v1/responses"}
    assert all(one["request_id"].startswith("req_") for one in running)
    assert [(one["status"], one["error"]) for one in killed] == [
        ("failed", "interrupted"),
        ("failed", "interrupted"),
        ("succeeded", None),
    ]
    assert [one.status for one in found] == ["completed", "failed", "failed"]
    assert [one.error.message if one.error else None for one in found[1:]] == [
        "The gateway stopped before this response was complete. Send the request again."
    ] * 2
    assert "response.output_text.delta" in {event.type for event in events}
    assert (events[0].type, events[-1].type) == ("response.created", "response.failed")
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert after.output_text == "PONG"
