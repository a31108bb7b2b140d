"""An HTTP transport that validates every response against the published objects of its API."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
from openai import AsyncOpenAI
from openai_spec import assert_valid
from responses_spec import assert_event, assert_response

_OK = 200
_Validator = Callable[[Any], None]


def _by(schema: str) -> _Validator:
    return lambda value: assert_valid(schema, value)


_BODIES: Mapping[str, _Validator] = {
    "/chat/completions": _by("CreateChatCompletionResponse"),
    "/completions": _by("CreateCompletionResponse"),
    "/responses": assert_response,
    "/embeddings": _by("CreateEmbeddingResponse"),
}
_EVENTS: Mapping[str, _Validator] = {
    "/chat/completions": _by("CreateChatCompletionStreamResponse"),
    "/completions": _by("CreateCompletionResponse"),
    "/responses": assert_event,
}


class Judge(httpx.AsyncHTTPTransport):
    """Sends requests. A response is validated when it ends; one that breaks off is not."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and record its response."""
        response = await super().handle_async_request(request)
        path = request.url.path.removeprefix("/v1")
        if request.method == "POST" and path in _BODIES:
            stream = cast("httpx.AsyncByteStream", response.stream)
            response.stream = _RecordedStream(stream, lambda body: _validate(path, response, body))
        return response


@asynccontextmanager
async def judged_openai(base_url: str, key: str, read_timeout: float) -> AsyncIterator[AsyncOpenAI]:
    """Return OpenAI's own client on this transport."""
    async with httpx.AsyncClient(transport=Judge()) as connection:
        # Its types require its own client class; this one works as well.
        client: Any = connection
        async with AsyncOpenAI(
            base_url=base_url, api_key=key, max_retries=0, timeout=read_timeout, http_client=client
        ) as openai:
            yield openai


class _RecordedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, on_end: Callable[[bytes], None]) -> None:
        self._stream = stream
        self._on_end = on_end

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body = b""
        async for part in self._stream:
            body += part
            yield part
        self._on_end(body)

    async def aclose(self) -> None:
        await self._stream.aclose()


def _validate(path: str, response: httpx.Response, body: bytes) -> None:
    if response.status_code != _OK:
        assert_valid("ErrorResponse", json.loads(body))
    elif response.headers["content-type"].startswith("text/event-stream"):
        for line in body.split(b"\n"):
            if line.startswith(b"data: {") and not line.startswith(b'data: {"error"'):
                _EVENTS[path](json.loads(line.removeprefix(b"data: ")))
    else:
        _BODIES[path](json.loads(body))
