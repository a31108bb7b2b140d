"""A gateway before several upstreams, each a simulator of its own."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from gateways import TIMEOUT
from openai import AsyncOpenAI

from dragoman.config.loading import load
from dragoman.server.uvicorn_server import Server, listen
from dragoman.simulator.server import Simulator
from dragoman.wiring.gateway import build


@dataclass
class Upstreams:
    """A gateway that listens."""

    simulators: Mapping[str, Simulator]
    http: httpx.AsyncClient
    openai: AsyncOpenAI

    def calls(self) -> list[int]:
        """How many calls reached each."""
        return [len(simulator.calls) for simulator in self.simulators.values()]

    async def chat(self, words: str, model: str = "sonnet", *earlier: dict[str, object]) -> httpx.Response:
        """Ask for an answer."""
        body = {"model": model, "messages": [*earlier, {"role": "user", "content": words}]}
        return await self.http.post("/v1/chat/completions", json=body)


@asynccontextmanager
async def upstreams(
    folder: Path, *tables: dict[str, object], fallback: bool = True, **given: object
) -> AsyncIterator[Upstreams]:
    """Serve on a free port, with one simulator for each upstream."""
    async with AsyncExitStack() as stack:
        simulators = {str(table["name"]): await stack.enter_async_context(Simulator()) for table in tables}
        made = [
            {"api_key": f"sk-ant-{table['name']}", "base_url": simulators[str(table["name"])].url, **table}
            for table in tables
        ]
        ours = {"port": 0, "log_level": "off", "spares": 0, "state_dir": folder / "state"}
        settings = load({**ours, "upstreams": made, "fallback": fallback, **given}, env_file=None)
        sock = listen(settings.host, 0)
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        built = await stack.enter_async_context(build(settings))
        server = Server(built.app, built.drain, 5.0)
        serving = asyncio.create_task(server.serve([sock]))
        async with (
            httpx.AsyncClient(base_url=url, timeout=TIMEOUT) as http,
            AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=TIMEOUT) as openai,
        ):
            try:
                yield Upstreams(simulators, http, openai)
            finally:
                server.stop()
                await serving
