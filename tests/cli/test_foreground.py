"""`dragoman serve` in a terminal, with the real runtime: the banner, Ctrl-C, and a second Ctrl-C."""

import asyncio
import ctypes
import re
import sys
from contextlib import suppress
from pathlib import Path

import openai
import psutil
import pytest
from background_gateway import registry
from commands import TIMEOUT, run
from openai.types.chat import ChatCompletionMessageParam
from terminals import INTERRUPT, Terminal, terminal

from dragoman.cli.serving.foreground import protect_memory

QUICK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
SHORT: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Count to 20\nSimulate: pace 0.1"}]
LONG: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Count to 900\nSimulate: pace 0.1"}]


async def address(serving: Terminal) -> str:
    """Return the address in the banner."""
    await serving.until("need no key")
    found = re.search(r"OpenAI base URL +(\S+)/v1", serving.plain)
    assert found, serving.plain
    return found[1]


async def refused(client: openai.AsyncOpenAI) -> None:
    """Return when the gateway refuses new requests."""
    with suppress(openai.APIConnectionError, openai.InternalServerError):
        while True:
            await client.chat.completions.create(model="haiku", messages=QUICK, max_tokens=1)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_the_memory_of_a_gateway_is_protected() -> None:
    """The kernel refuses debuggers, and readers of `/proc`, for a process that is not dumpable."""
    get_dumpable, set_dumpable = 3, 4
    libc = ctypes.CDLL(None)
    assert libc.prctl(get_dumpable) == 1
    protect_memory()
    try:
        assert libc.prctl(get_dumpable) == 0
    finally:
        libc.prctl(set_dumpable, 1, 0, 0, 0)


async def test_ctrl_c(tmp_path: Path) -> None:
    """After Ctrl-C a stream continues, and the terminal says so.

    A second one ends it with an error event, and no process is left.
    """
    arguments = ("serve", "--simulate", "--port", "0", "--shutdown-grace", "600")
    async with terminal(tmp_path, *arguments, installed=True) as serving:
        url = await address(serving)
        assert "simulated at http://127.0.0.1:" in serving.plain
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            stream = await client.chat.completions.create(model="haiku", messages=LONG, stream=True)
            await anext(aiter(stream))
            status = await run(tmp_path, "status")
            [record] = registry(tmp_path).running()
            children = psutil.Process(record.pid).children(recursive=True)
            serving.type(INTERRUPT)
            await serving.until("Stopping: 1 run has 10m to finish")
            await refused(client)
            await anext(aiter(stream))  # the running request continues
            serving.type(INTERRUPT)
            with pytest.raises(openai.APIError) as caught:
                [_ async for _ in stream]
        assert await serving.code() == 0
    assert "in the foreground" in status.out
    assert caught.value.code == "shutting_down"
    assert children
    assert psutil.wait_procs(children, timeout=60)[1] == []
    assert registry(tmp_path).running() == []


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_terminal_that_is_closed(tmp_path: Path, workers: str) -> None:
    """A closed terminal stops the gateway like Ctrl-C, although its log cannot be written. Running requests finish."""
    arguments = ("serve", "--simulate", "--port", "0", "--shutdown-grace", "600", "--debug", "--workers", workers)
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
