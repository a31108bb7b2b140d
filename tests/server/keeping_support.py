"""What the tests of kept answers share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from scripted import Script, Served, served

from dragoman.core.messages import JSONObject

WEATHER: JSONObject = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
ENDED = frozenset({"completed", "incomplete", "failed", "cancelled"})


@asynccontextmanager
async def kept(script: Script, folder: Path, **settings: Any) -> AsyncIterator[Served]:
    """Serve, with what is kept in a folder: the next gateway there finds it."""
    async with served(script, state_dir=folder / "kept", **settings) as gateway:
        yield gateway


async def respond(gateway: Served, given: Any = "Say it", **fields: Any) -> Any:
    """Ask for a response, and get it."""
    made = await gateway.http.post("/v1/responses", json={"input": given, **fields})
    assert made.status_code == 200, made.text
    return made.json()


async def ended(http: httpx.AsyncClient, id_: str) -> Any:
    """A response in the background, once it has ended: asked for again and again, as clients do."""
    while (found := (await http.get(f"/v1/responses/{id_}")).json())["status"] not in ENDED:
        pass
    return found


async def first_data(stream: httpx.Response) -> AsyncIterator[str]:
    """The first line of data of a stream."""
    async for line in stream.aiter_lines():
        if line.startswith("data: "):
            yield line
            return
