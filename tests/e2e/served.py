"""The command in a process of its own, in front of a simulator in the test process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from commands import Process, line, started
from gateways import TIMEOUT
from openai import AsyncOpenAI

from dragoman.simulator.server import Simulator


@dataclass
class Served:
    """A gateway in a process of its own.

    Attributes:
        process: The gateway's process.
        simulator: Its upstream.
        http: A client of its `/v1`.
        openai: The official OpenAI client.
    """

    process: Process
    simulator: Simulator
    http: httpx.AsyncClient
    openai: AsyncOpenAI

    @property
    def url(self) -> str:
        """The gateway's address, without `/v1`."""
        return str(self.http.base_url).removesuffix("/v1/")


@asynccontextmanager
async def served(home: Path, *arguments: str, **variables: str) -> AsyncIterator[Served]:
    """Start a gateway with these arguments and environment variables, and end it."""
    async with Simulator() as simulator:
        account = {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "sk-ant-dummy", **variables}
        given = ("serve", "-p", "0", "-m", "--log-file", "log", *arguments)
        async with started(home, *given, added=account) as process:
            address = f"{await line(process, 'http')}/v1"
            async with (
                httpx.AsyncClient(base_url=address, timeout=TIMEOUT) as http,
                AsyncOpenAI(base_url=address, api_key="none", max_retries=0, timeout=TIMEOUT) as openai,
            ):
                yield Served(process, simulator, http, openai)
