"""What becomes of runtime processes: killed ones, those of clients that leave, and those of a gateway that ends."""

import asyncio
import os
import signal
from pathlib import Path

import httpx
import openai
import pytest
from backend_harness import children_of
from gateways import OLD, Watched, body, gateway, question, read, soon
from scripted import clean
from served import served

nothing_of_this_machine = pytest.fixture(autouse=True)(clean)

HELD = "Count to 9\nSimulate: hold after 2"


async def test_a_process_killed_in_mid_stream_is_an_error_in_the_stream(tmp_path: Path) -> None:
    """The official client raises it, after what was said; the next request is served."""
    async with gateway(tmp_path) as running:
        completions = running.openai.chat.completions
        stream = await completions.create(model=OLD, messages=question(HELD), stream=True)
        said = [await anext(stream), await anext(stream)]
        os.kill(running.session.pid, signal.SIGKILL)
        with pytest.raises(openai.APIError, match="process failed") as caught:
            await read(stream, said)
        assert caught.value.code == "runtime_failed"
        assert said[0].choices[0].delta.role == "assistant"
        made = await completions.create(model=OLD, messages=question("Reply with exactly: PONG"))
        assert made.choices[0].message.content == "PONG"


async def test_a_process_killed_in_mid_answer_is_a_502(tmp_path: Path) -> None:
    """A plain answer that will never be whole is an error of the gateway's upstream."""
    async with gateway(tmp_path) as running:
        asking = asyncio.create_task(running.http.post("/chat/completions", json=body(HELD)))
        await soon(running.simulator.wait_for_calls(1))
        os.kill(running.session.pid, signal.SIGKILL)
        answer = await asking
        assert answer.status_code == 502
        assert answer.json()["error"]["code"] == "runtime_failed"
        assert answer.json()["error"]["type"] == "api_error"


async def test_a_client_that_leaves_a_stream_takes_its_process_along(tmp_path: Path) -> None:
    """The connection closes in mid-answer; the process is reaped, and nothing is left of the run."""
    async with gateway(tmp_path) as running:
        async with running.http.stream("POST", "/chat/completions", json=body(HELD, stream=True)) as answer:
            await anext(answer.aiter_lines())
            session = running.session
        await soon(asyncio.shield(session.exited))
        assert running.backend.status()["processes"] == {"spare": 0, "live": 0, "agents": 0, "all": 0}


async def test_a_client_that_does_not_wait_for_a_plain_answer(tmp_path: Path) -> None:
    """The same where nothing was sent yet, which no write would tell."""
    async with gateway(tmp_path) as running:
        asking = asyncio.create_task(running.http.post("/chat/completions", json=body(HELD)))
        await soon(running.simulator.wait_for_calls(1))
        session = running.session
        asking.cancel()
        await soon(asyncio.shield(session.exited))
        assert running.backend.status()["processes"] == {"spare": 0, "live": 0, "agents": 0, "all": 0}


async def test_a_killed_gateway_leaves_no_process(tmp_path: Path) -> None:
    """By SIGKILL, which nothing can be done about: busy, live and spare processes all end by themselves."""
    async with served(tmp_path, "--spares", "1") as running:
        await running.http.post("/chat/completions", json=body("Hello"))
        async with running.http.stream("POST", "/chat/completions", json=body(HELD, stream=True)) as answer:
            await anext(answer.aiter_lines())
            watched = [Watched(pid) for pid in children_of(running.process.pid)]
            running.process.kill()
            await running.process.wait()
            for process in watched:
                await process.gone()
        assert len(watched) >= 2


async def test_a_signal_lets_a_stream_end(tmp_path: Path) -> None:
    """SIGTERM in mid-answer: the client gets the rest, then the gateway ends well and leaves nothing."""
    async with served(tmp_path, "--spares", "0") as running:
        async with running.http.stream("POST", "/chat/completions", json=body(HELD, stream=True)) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            watched = [Watched(pid) for pid in children_of(running.process.pid)]
            running.process.terminate()
            await refused(str(running.http.base_url))
            running.simulator.release()
            rest = [part async for part in lines if part]
        assert rest[-1] == "data: [DONE]"
        assert '"finish_reason":"stop"' in rest[-2]
        assert await soon(running.process.wait()) == 0
        for process in watched:
            await process.gone()


async def refused(address: str) -> None:
    """Return once the gateway takes no new connection."""
    async with httpx.AsyncClient() as http:
        while True:
            try:
                await http.get(f"{address}models", headers={"connection": "close"})
            except httpx.TransportError:
                return


async def test_signed_in_by_a_dummy_token(tmp_path: Path) -> None:
    """With `--signed-in` the owner's token reaches the API, and no key does."""
    token = {"CLAUDE_CODE_OAUTH_TOKEN": "dummy-token", "CLAUDE_CONFIG_DIR": str(tmp_path / "owner")}
    async with served(tmp_path, "--signed-in", **token) as running:
        answer = await running.http.post("/chat/completions", json=body("Reply with exactly: PONG"))
        assert answer.json()["choices"][0]["message"]["content"] == "PONG"
        [call] = running.simulator.calls
        assert call.headers["authorization"] == "Bearer dummy-token"
        assert "x-api-key" not in call.headers


async def test_nothing_configured(tmp_path: Path) -> None:
    """The official client raises its own error for a missing sign-in, with what to do in it."""
    async with served(tmp_path, ANTHROPIC_API_KEY="") as running:
        client = openai.AsyncOpenAI(base_url=str(running.http.base_url), api_key="none", max_retries=0)
        async with client:
            with pytest.raises(openai.AuthenticationError, match="dragoman login") as caught:
                await client.chat.completions.create(model=OLD, messages=question("Hello"))
        assert caught.value.code == "not_signed_in"
        assert running.simulator.calls == []


async def test_simulated(tmp_path: Path) -> None:
    """`dragoman serve --simulate` answers with no account at all."""
    async with served(tmp_path, "--simulate", "--log-level", "off", ANTHROPIC_API_KEY="") as running:
        answer = await running.http.post("/chat/completions", json=body("Reply with exactly: PONG"))
        assert answer.json()["choices"][0]["message"]["content"] == "PONG"
        assert running.simulator.calls == []
