"""Fixtures: a running simulator, and clients that send requests to it."""

from collections.abc import AsyncIterator

import httpx
import pytest
from simulator_support import HEADERS, Ask

from dragoman.core.messages import JSON, JSONObject
from dragoman.simulator.server import Simulator


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """Yield a new simulator."""
    async with Simulator() as running:
        yield running


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    """Yield an HTTP client with a key and an API version."""
    async with httpx.AsyncClient(base_url=simulator.url, headers=HEADERS, timeout=300) as http:
        yield http


@pytest.fixture
def ask(client: httpx.AsyncClient) -> Ask:
    """Return a function that sends a request. A text becomes a user message; other arguments are body fields."""

    async def ask(
        text: str | None = None, *, headers: dict[str, str] | None = None, path: str = "/v1/messages", **fields: JSON
    ) -> JSONObject:
        body: JSONObject = {"model": "claude-sonnet-4-5", "max_tokens": 4096}
        if text is not None:
            body["messages"] = [{"role": "user", "content": text}]
        response = await client.post(path, json={**body, **fields}, headers=headers)
        result: JSONObject = response.json()
        return result

    return ask
