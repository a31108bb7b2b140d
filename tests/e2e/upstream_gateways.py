"""A gateway in front of several upstreams, each with its own simulator."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from gateways import TIMEOUT
from openai import AsyncOpenAI

from dragoman.config.loading import load
from dragoman.server.http_server import Server, listen
from dragoman.simulator.server import Simulator
from dragoman.wiring.gateway import build


@dataclass
class Upstreams:
    """A listening gateway."""

    simulators: Mapping[str, Simulator]
    http: httpx.AsyncClient
    openai: AsyncOpenAI

    def calls(self) -> list[int]:
        """Return the number of calls that each upstream received."""
        return [len(simulator.calls) for simulator in self.simulators.values()]

    async def chat(self, text: str, model: str = "sonnet", *earlier: dict[str, object]) -> httpx.Response:
        """Send a chat request."""
        body = {"model": model, "messages": [*earlier, {"role": "user", "content": text}]}
        return await self.http.post("/v1/chat/completions", json=body)


@asynccontextmanager
async def upstreams(
    folder: Path, *tables: dict[str, object], fallback: bool = True, **overrides: object
) -> AsyncIterator[Upstreams]:
    """Serve on a free port, with one simulator for each upstream.

    Args:
        folder: The folder of the state directory.
        tables: The settings of each upstream.
        fallback: Whether another upstream may answer after a failure.
        overrides: Other settings.
    """
    async with AsyncExitStack() as stack:
        simulators = {str(table["name"]): await stack.enter_async_context(Simulator()) for table in tables}
        with_simulators = [
            {"api_key": f"sk-ant-{table['name']}", "base_url": simulators[str(table["name"])].url, **table}
            for table in tables
        ]
        defaults = {"port": 0, "log_level": "off", "spares": 0, "state_dir": folder / "state"}
        settings = load({**defaults, "upstreams": with_simulators, "fallback": fallback, **overrides}, env_file=None)
        sock = listen(settings.host, 0)
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        built = await stack.enter_async_context(build(settings))
        server = Server(built.app, built, 5.0)
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
