"""`serve` in a terminal: its banner, Ctrl-C, and Ctrl-C again; with the real runtime."""

import asyncio
import re
from contextlib import suppress
from pathlib import Path

import openai
import psutil
import pytest
from background_gateway import registry
from commands import TIMEOUT, run
from openai.types.chat import ChatCompletionMessageParam
from terminals import INTERRUPT, Terminal, terminal

QUICK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
SHORT: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Count to 20\nSimulate: pace 0.1"}]
LONG: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Count to 900\nSimulate: pace 0.1"}]


async def address(serving: Terminal) -> str:
    """Where it answers, as its banner says."""
    await serving.until("need no key")
    found = re.search(r"OpenAI base URL +(\S+)/v1", serving.plain)
    assert found, serving.plain
    return found[1]


async def refused(client: openai.AsyncOpenAI) -> None:
    """Return once nothing new is taken."""
    with suppress(openai.APIConnectionError, openai.InternalServerError):
        while True:
            await client.chat.completions.create(model="haiku", messages=QUICK, max_tokens=1)


async def test_ctrl_c(tmp_path: Path) -> None:
    """Answers have their time; a second one ends it: the stream ends with its error, and no process stays."""
    arguments = ("serve", "--simulate", "--port", "0", "--shutdown-grace", "600")
    async with terminal(tmp_path, *arguments) as serving:
        url = await address(serving)
        assert "simulated at http://127.0.0.1:" in serving.plain
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            stream = await client.chat.completions.create(model="haiku", messages=LONG, stream=True)
            await anext(aiter(stream))
            status = await run(tmp_path, "status")
            [record] = registry(tmp_path).running()
            children = psutil.Process(record.pid).children(recursive=True)
            serving.type(INTERRUPT)
            await refused(client)
            await anext(aiter(stream))  # and what runs goes on
            serving.type(INTERRUPT)
            with pytest.raises(openai.APIError) as caught:
                [_ async for _ in stream]
        assert await serving.code() == 0
    assert "in the foreground" in status.out
    assert caught.value.code == "shutting_down"
    assert children
    assert psutil.wait_procs(children, timeout=60)[1] == []
    assert registry(tmp_path).running() == []


async def test_a_terminal_that_is_closed(tmp_path: Path) -> None:
    """It stops as by Ctrl-C, though its log has nowhere to go: what is being answered is answered."""
    arguments = ("serve", "--simulate", "--port", "0", "--shutdown-grace", "600", "--debug")
    async with terminal(tmp_path, *arguments) as serving:
        url = await address(serving)
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            stream = await client.chat.completions.create(model="haiku", messages=SHORT, stream=True)
            await anext(aiter(stream))
            [record] = registry(tmp_path).running()
            children = psutil.Process(record.pid).children(recursive=True)
            serving.hang_up()
            chunks = [chunk async for chunk in stream]
        assert await asyncio.wait_for(serving.process.wait(), TIMEOUT) == 0
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert children
    assert psutil.wait_procs(children, timeout=TIMEOUT)[1] == []
    assert registry(tmp_path).running() == []
    assert (await run(tmp_path, "runs", "--json", "--status", "succeeded")).out.count('"succeeded"') == 1
