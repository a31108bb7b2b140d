"""A running simulator, and plain ways to ask it."""

from collections.abc import AsyncIterator

import httpx
import pytest
from simulator_asking import HEADERS, Ask

from dragoman.core.messages import JSON, JSONObject
from dragoman.simulator.server import Simulator


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A simulator of one's own."""
    async with Simulator() as running:
        yield running


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client with a key and an API version."""
    async with httpx.AsyncClient(base_url=simulator.url, headers=HEADERS, timeout=30) as made:
        yield made


@pytest.fixture
def ask(client: httpx.AsyncClient) -> Ask:
    """Ask for a message of the body's fields; a bare text is the user's."""

    async def ask(
        text: str | None = None, *, headers: dict[str, str] | None = None, path: str = "/v1/messages", **fields: JSON
    ) -> JSONObject:
        body: JSONObject = {"model": "claude-sonnet-4-5", "max_tokens": 4096}
        if text is not None:
            body["messages"] = [{"role": "user", "content": text}]
        response = await client.post(path, json={**body, **fields}, headers=headers)
        answer: JSONObject = response.json()
        return answer

    return ask
