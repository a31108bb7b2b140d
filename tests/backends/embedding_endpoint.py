"""A remote endpoint for embeddings on a free port, which says what a test wants."""

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Respond = Callable[[Any], web.Response]


@dataclass
class Endpoint:
    """One that listens.

    Attributes:
        url: Its base URL.
        asked: The bodies that came, and their headers.
    """

    url: str = ""
    asked: list[tuple[dict[str, Any], dict[str, str]]] = field(default_factory=list)


def vectors(body: Any, *, packed: bool = True, usage: dict[str, int] | None = None) -> Any:
    """Two numbers for each input: its place in the question, and its length. Out of order, as is allowed."""
    made = []
    for index, given in reversed(list(enumerate(body["input"]))):
        numbers = [float(index), float(len(given))]
        embedding = base64.b64encode(struct.pack("<2f", *numbers)).decode() if packed else numbers
        made.append({"object": "embedding", "index": index, "embedding": embedding})
    answer: dict[str, Any] = {"object": "list", "data": made, "model": body["model"]}
    return answer if usage is None else {**answer, "usage": usage}


def counted(body: Any) -> web.Response:
    """A good answer, with a token for each input."""
    size = len(body["input"])
    return web.json_response(vectors(body, usage={"prompt_tokens": size, "total_tokens": size}))


def says(status: int, body: Any, **headers: str) -> Respond:
    """The same answer to everything."""
    return lambda _: web.Response(
        status=status, text=body if isinstance(body, str) else json.dumps(body), headers=headers
    )


@asynccontextmanager
async def endpoint(respond: Respond = counted, *, hangs: bool = False) -> AsyncIterator[Endpoint]:
    """Serve it."""
    served = Endpoint()

    async def answer(request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        served.asked.append((body, dict(request.headers)))
        if hangs:
            await asyncio.Event().wait()
        return respond(body)

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/embeddings", answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    served.url = f"http://{host}:{port}/v1"
    try:
        yield served
    finally:
        await runner.cleanup()
