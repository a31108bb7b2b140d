"""A client's connection that holds every answer it carries to the published descriptions, where they are at hand."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
from openai import AsyncOpenAI
from openai_spec import SPECS, assert_valid
from responses_spec import assert_event, assert_response

_OK = 200
_Judgement = Callable[[Any], None]


def _by(schema: str) -> _Judgement:
    return lambda value: assert_valid(schema, value)


_WHOLE: Mapping[str, _Judgement] = {
    "/chat/completions": _by("CreateChatCompletionResponse"),
    "/completions": _by("CreateCompletionResponse"),
    "/responses": assert_response,
    "/embeddings": _by("CreateEmbeddingResponse"),
}
_EVENTS: Mapping[str, _Judgement] = {
    "/chat/completions": _by("CreateChatCompletionStreamResponse"),
    "/completions": _by("CreateCompletionResponse"),
    "/responses": assert_event,
}


class Judge(httpx.AsyncHTTPTransport):
    """Carries requests; an answer that ends is judged at its end, and one that breaks off is not."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and listen to its answer."""
        response = await super().handle_async_request(request)
        path = request.url.path.removeprefix("/v1")
        if request.method == "POST" and path in _WHOLE and SPECS.exists():
            heard = cast("httpx.AsyncByteStream", response.stream)
            response.stream = _Heard(heard, lambda said: _judge(path, response, said))
        return response


@asynccontextmanager
async def judged_openai(base_url: str, key: str, patience: float) -> AsyncIterator[AsyncOpenAI]:
    """OpenAI's own client, on such a connection."""
    async with httpx.AsyncClient(transport=Judge()) as connection:
        # Its types name a client that it brings itself; it takes this one as well.
        client: Any = connection
        async with AsyncOpenAI(
            base_url=base_url, api_key=key, max_retries=0, timeout=patience, http_client=client
        ) as openai:
            yield openai


class _Heard(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, judge: Callable[[bytes], None]) -> None:
        self._stream = stream
        self._judge = judge

    async def __aiter__(self) -> AsyncIterator[bytes]:
        said = b""
        async for part in self._stream:
            said += part
            yield part
        self._judge(said)

    async def aclose(self) -> None:
        await self._stream.aclose()


def _judge(path: str, response: httpx.Response, said: bytes) -> None:
    if response.status_code != _OK:
        assert_valid("ErrorResponse", json.loads(said))
    elif response.headers["content-type"].startswith("text/event-stream"):
        for line in said.split(b"\n"):
            if line.startswith(b"data: {") and not line.startswith(b'data: {"error"'):
                _EVENTS[path](json.loads(line.removeprefix(b"data: ")))
    else:
        _WHOLE[path](json.loads(said))
