"""A remote embeddings endpoint on a free port, whose responses a test sets."""

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
"""Makes the response to a request's JSON body."""


@dataclass
class Endpoint:
    """An endpoint that is being served.

    Attributes:
        url: Its base URL.
        requests: The JSON body and the headers of each request, in order.
    """

    url: str = ""
    requests: list[tuple[dict[str, Any], dict[str, str]]] = field(default_factory=list)


def vectors(body: Any, *, packed: bool = True, usage: dict[str, int] | None = None) -> Any:
    """Return a response body with two numbers for each input: its index in the request, and its length.

    The vectors are in reverse order, which OpenAI's API allows.

    Args:
        body: The request.
        packed: Whether the vectors are packed as base64, instead of lists of numbers.
        usage: The token counts, if any.
    """
    data = []
    for index, input_ in reversed(list(enumerate(body["input"]))):
        numbers = [float(index), float(len(input_))]
        embedding = base64.b64encode(struct.pack("<2f", *numbers)).decode() if packed else numbers
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    response: dict[str, Any] = {"object": "list", "data": data, "model": body["model"]}
    return response if usage is None else {**response, "usage": usage}


def respond_with_usage(body: Any) -> web.Response:
    """Return a valid response that counts one token for each input."""
    size = len(body["input"])
    return web.json_response(vectors(body, usage={"prompt_tokens": size, "total_tokens": size}))


def always(status: int, body: Any, **headers: str) -> Respond:
    """Return a `Respond` that makes the same response to every request."""
    return lambda _: web.Response(
        status=status, text=body if isinstance(body, str) else json.dumps(body), headers=headers
    )


@asynccontextmanager
async def serve_endpoint(respond: Respond = respond_with_usage, *, hangs: bool = False) -> AsyncIterator[Endpoint]:
    """Serve an endpoint.

    Args:
        respond: Makes the responses.
        hangs: Whether the endpoint receives requests but never responds.
    """
    endpoint = Endpoint()

    async def handle(request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        endpoint.requests.append((body, dict(request.headers)))
        if hangs:
            await asyncio.Event().wait()
        return respond(body)

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/embeddings", handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    endpoint.url = f"http://{host}:{port}/v1"
    try:
        yield endpoint
    finally:
        await runner.cleanup()
