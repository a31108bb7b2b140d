"""`dragoman stop` during requests."""

import asyncio
import json
import os
from pathlib import Path

import openai
import pytest
from background_gateway import background_gateway, registry
from commands import TIMEOUT, run, started
from openai.types.chat import ChatCompletionMessageParam

from dragoman.simulator.server import Simulator


def question(words: str) -> list[ChatCompletionMessageParam]:
    """A conversation of one message."""
    return [{"role": "user", "content": words}]


@pytest.mark.parametrize("stop", [("stop",), ("stop", "--now")], ids=" ".join)
async def test_request_that_does_not_end_in_time(tmp_path: Path, stop: tuple[str, ...]) -> None:
    """The stream ends with an error event, the record contains the same error, and no process is left."""
    grace = "0.5" if stop == ("stop",) else "600"
    async with (
        background_gateway(tmp_path, "--simulate", "--shutdown-grace", grace) as gateway,
        openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client,
    ):
        request = question("Count to 900\nSimulate: pace 0.1")
        stream = await client.chat.completions.create(model="haiku", messages=request, stream=True)
        await anext(aiter(stream))
        stopping = asyncio.create_task(run(tmp_path, *stop))
        with pytest.raises(openai.APIError) as caught:
            [_ async for _ in stream]
        stopped = await stopping
        assert registry(tmp_path).running() == []
    assert caught.value.code == "shutting_down"
    assert (stopped.code, stopped.out) == (0, f"Stopped the gateway at {gateway.url} (pid {gateway.pid}).\n")
    async with background_gateway(tmp_path, "--simulate"):
        [record] = json.loads((await run(tmp_path, "runs", "--json")).out)["runs"]
    assert (record["status"], record["error"]) == ("failed", "shutting_down")


async def test_request_that_ends_in_time(tmp_path: Path) -> None:
    """The response is complete. The command waits for it and shows progress in a terminal."""
    async with Simulator() as simulator:
        account = {"ANTHROPIC_API_KEY": "sk-ant-dummy", "ANTHROPIC_BASE_URL": simulator.url}
        async with (
            background_gateway(tmp_path, "--shutdown-grace", "600", added=account) as gateway,
            openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client,
        ):
            simulator.hold()
            asking = asyncio.create_task(
                client.chat.completions.create(model="haiku", messages=question("Reply with exactly: PONG"))
            )
            while not simulator.received:
                await run(tmp_path, "status")
            ours, theirs = os.openpty()
            try:
                async with started(tmp_path, "stop", stderr=theirs) as stop:
                    result = b""
                    while b"running requests have 600 s to finish (2 s)" not in result:
                        result += await asyncio.to_thread(os.read, ours, 1000)
                    simulator.release()
                    out, _ = await asyncio.wait_for(stop.communicate(), TIMEOUT)
            finally:
                os.close(ours)
                os.close(theirs)
            answer = await asking
    assert answer.choices[0].message.content == "PONG"
    assert out.startswith(b"Stopped the gateway")
