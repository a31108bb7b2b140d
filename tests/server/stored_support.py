"""What the tests of stored responses share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from scripted import Script, Served, served

from dragoman.core.messages import JSONObject

STATE_DIR = "state"
STORE_FILE = "answers.db"
WEATHER: JSONObject = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
FINAL_STATUSES = frozenset({"completed", "incomplete", "failed", "cancelled"})


@asynccontextmanager
async def served_with_store(script: Script, folder: Path, **settings: Any) -> AsyncIterator[Served]:
    """Serve a gateway that stores responses below `folder`. The next gateway with that folder finds them."""
    async with served(script, state_dir=folder / STATE_DIR, **settings) as gateway:
        yield gateway


def store_path(folder: Path) -> Path:
    """Return the database file of the responses."""
    return folder / STATE_DIR / STORE_FILE


async def create_response(gateway: Served, input_: Any = "Say it", **fields: Any) -> Any:
    """Create a response, and return its body."""
    response = await gateway.http.post("/v1/responses", json={"input": input_, **fields})
    assert response.status_code == 200, response.text
    return response.json()


async def poll_until_final(http: httpx.AsyncClient, id_: str) -> Any:
    """Poll a background response until it has ended, and return it."""
    while (body := (await http.get(f"/v1/responses/{id_}")).json())["status"] not in FINAL_STATUSES:
        pass
    return body


async def first_data_line(stream: httpx.Response) -> AsyncIterator[str]:
    """Yield the first `data:` line of a stream."""
    async for line in stream.aiter_lines():
        if line.startswith("data: "):
            yield line
            return
