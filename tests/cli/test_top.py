"""`dragoman top`: the gateway's state and its runs in a terminal."""

from pathlib import Path

import httpx
from commands import line, run, started


async def test_once(tmp_path: Path) -> None:
    """Into a pipe it prints the state and the runs once, those that are open first."""
    async with started(tmp_path, "serve", "--simulate", "--backend", "api", "--port", "0") as process:
        address = (await line(process, "OpenAI base URL")).split()[-1].removesuffix("/v1")
        async with httpx.AsyncClient(base_url=address, timeout=300) as http:
            body = {"model": "sonnet", "messages": [{"role": "user", "content": "Reply with exactly: PONG"}]}
            await http.post("/v1/chat/completions", json=body)
        shown = (await run(tmp_path, "top", "--port", address.rpartition(":")[2])).out
    assert "ready" in shown
    assert "running 0 of" in shown
    assert "succeeded" in shown
