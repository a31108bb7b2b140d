"""The life of runtime processes: killed processes, disconnects, and the end of the gateway."""

import asyncio
import os
import signal
from pathlib import Path
from typing import cast

import httpx
import openai
import psutil
import pytest
from backend_harness import children_of
from gateways import OLD, WatchedProcess, chat_body, gateway, read_stream, user_message, with_timeout
from scripted import clean
from served import served

nothing_of_this_machine = pytest.fixture(autouse=True)(clean)

HELD_PROMPT = "Count to 9\nSimulate: hold after 2"
LOOKUP = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}


async def test_process_killed_during_a_stream(tmp_path: Path) -> None:
    """The official client raises an error after the text so far; the next request is served."""
    async with gateway(tmp_path) as running:
        completions = running.openai.chat.completions
        stream = await completions.create(model=OLD, messages=user_message(HELD_PROMPT), stream=True)
        chunks = [await anext(stream), await anext(stream)]
        os.kill(running.session.pid, signal.SIGKILL)
        with pytest.raises(openai.APIError, match="process failed") as caught:
            await read_stream(stream, chunks)
        assert caught.value.code == "runtime_failed"
        assert chunks[0].choices[0].delta.role == "assistant"
        response = await completions.create(model=OLD, messages=user_message("Reply with exactly: PONG"))
        assert response.choices[0].message.content == "PONG"


async def test_process_killed_during_a_plain_response(tmp_path: Path) -> None:
    """The status is 502."""
    async with gateway(tmp_path) as running:
        asking = asyncio.create_task(running.http.post("/chat/completions", json=chat_body(HELD_PROMPT)))
        await with_timeout(running.simulator.wait_for_calls(1))
        os.kill(running.session.pid, signal.SIGKILL)
        answer = await asking
        assert answer.status_code == 502
        assert answer.json()["error"]["code"] == "runtime_failed"
        assert answer.json()["error"]["type"] == "api_error"


async def test_disconnect_from_a_stream_ends_the_process(tmp_path: Path) -> None:
    """The connection closes during the response; the process is reaped."""
    async with gateway(tmp_path) as running:
        async with running.http.stream("POST", "/chat/completions", json=chat_body(HELD_PROMPT, stream=True)) as answer:
            await anext(answer.aiter_lines())
            session = running.session
        await with_timeout(asyncio.shield(session.exited))
        assert running.backend.status()["processes"] == {"spare": 0, "live": 0, "agents": 0, "all": 0}


async def test_disconnect_before_a_plain_response_ends_the_process(tmp_path: Path) -> None:
    """Also before anything was sent, when no write can fail."""
    async with gateway(tmp_path) as running:
        asking = asyncio.create_task(running.http.post("/chat/completions", json=chat_body(HELD_PROMPT)))
        await with_timeout(running.simulator.wait_for_calls(1))
        session = running.session
        asking.cancel()
        await with_timeout(asyncio.shield(session.exited))
        assert running.backend.status()["processes"] == {"spare": 0, "live": 0, "agents": 0, "all": 0}


def spares(health: httpx.Response) -> int:
    """Return the number of warm processes that a gateway reports."""
    return cast("int", health.json()["backend"]["processes"]["spare"])


async def test_killed_gateway_leaves_no_process(tmp_path: Path) -> None:
    """After SIGKILL, busy, live and warm processes all end, and the one that waits for a long conversation."""
    async with served(tmp_path, "--spares", "1", "--long-spares", "1") as running:
        while spares(await running.http.get(f"{running.http.base_url.copy_with(path='/health/ready')}")) < 2:
            pass
        await running.http.post("/chat/completions", json=chat_body("Hello"))
        async with running.http.stream("POST", "/chat/completions", json=chat_body(HELD_PROMPT, stream=True)) as answer:
            await anext(answer.aiter_lines())
            watched = [WatchedProcess(pid) for pid in children_of(running.process.pid)]
            running.process.kill()
            await running.process.wait()
            for process in watched:
                await process.exited()
        assert len(watched) >= 2


async def test_killed_gateway_asks_nothing_more(tmp_path: Path) -> None:
    """A parked tool call ends with the gateway at once, before Claude Code can tell Claude that the tool failed.

    Not by the guard: a busy machine may run it later than Claude Code.
    """
    async with served(tmp_path, "--spares", "0", "--long-spares", "0") as running:
        body = chat_body('Call lookup with {"word": "it"}', tools=[LOOKUP])
        answer = await running.http.post("/chat/completions", json=body)
        assert answer.json()["choices"][0]["finish_reason"] == "tool_calls"
        children = psutil.Process(running.process.pid).children()
        [guard] = [child for child in children if child.cmdline()[0] == "/bin/sh"]
        [parked] = [WatchedProcess(child.pid) for child in children if child != guard]
        guard.suspend()
        try:
            running.process.kill()
            await running.process.wait()
            await parked.exited()
        finally:
            guard.resume()
        assert len(running.simulator.calls) == 1


async def test_sigterm_lets_a_stream_end(tmp_path: Path) -> None:
    """The client gets the rest; then the gateway exits with 0 and leaves no process."""
    async with served(tmp_path, "--spares", "0") as running:
        async with running.http.stream("POST", "/chat/completions", json=chat_body(HELD_PROMPT, stream=True)) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            watched = [WatchedProcess(pid) for pid in children_of(running.process.pid)]
            running.process.terminate()
            await wait_until_refused(str(running.http.base_url))
            running.simulator.release()
            rest = [part async for part in lines if part]
        assert rest[-1] == "data: [DONE]"
        assert '"finish_reason":"stop"' in rest[-2]
        assert await with_timeout(running.process.wait()) == 0
        for process in watched:
            await process.exited()


async def wait_until_refused(address: str) -> None:
    """Wait until the gateway accepts no new connection."""
    async with httpx.AsyncClient(timeout=300) as http:
        while True:
            try:
                await http.get(f"{address}models", headers={"connection": "close"})
            except httpx.TransportError:
                return


async def test_signed_in_token_reaches_the_api(tmp_path: Path) -> None:
    """With `--signed-in`, and no API key is sent."""
    token = {"CLAUDE_CODE_OAUTH_TOKEN": "dummy-token", "CLAUDE_CONFIG_DIR": str(tmp_path / "owner")}
    async with served(tmp_path, "--signed-in", **token) as running:
        answer = await running.http.post("/chat/completions", json=chat_body("Reply with exactly: PONG"))
        assert answer.json()["choices"][0]["message"]["content"] == "PONG"
        [call] = running.simulator.calls
        assert call.headers["authorization"] == "Bearer dummy-token"
        assert "x-api-key" not in call.headers


async def test_missing_sign_in(tmp_path: Path) -> None:
    """The official client raises an authentication error that names the command to run."""
    async with served(tmp_path, ANTHROPIC_API_KEY="") as running:
        client = openai.AsyncOpenAI(base_url=str(running.http.base_url), api_key="none", max_retries=0)
        async with client:
            with pytest.raises(openai.AuthenticationError, match="dragoman login") as caught:
                await client.chat.completions.create(model=OLD, messages=user_message("Hello"))
        assert caught.value.code == "not_signed_in"
        assert running.simulator.calls == []


async def test_simulate_option(tmp_path: Path) -> None:
    """`dragoman serve --simulate` answers without an account."""
    async with served(tmp_path, "--simulate", "--log-level", "off", ANTHROPIC_API_KEY="") as running:
        answer = await running.http.post("/chat/completions", json=chat_body("Reply with exactly: PONG"))
        assert answer.json()["choices"][0]["message"]["content"] == "PONG"
        assert running.simulator.calls == []
