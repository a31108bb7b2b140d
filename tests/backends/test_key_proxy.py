"""The server that adds the API key to the calls of agents."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from aiohttp import web
from gateways import with_timeout

from dragoman.backends.base import ReservedCall
from dragoman.backends.claude_code.agent.call_usage import CallUsage
from dragoman.backends.claude_code.agent.key_proxy import KeyProxy
from dragoman.core.errors import GatewayError, QuotaExceeded
from dragoman.core.messages import JSONObject

BODY = '{"text": "sk-real is not replaced — é"}'.encode()


class Upstream:
    """An API that records what it receives. It never ends a response to `/v1/messages?slow`."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.left = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer in two pieces."""
        self.requests += [(request.path_qs, {k.lower(): v for k, v in request.headers.items()}, await request.read())]
        response = web.StreamResponse(status=418, headers={"x-own": "kept"})
        await response.prepare(request)
        await response.write(b"first ")
        if request.query_string == "slow":
            try:
                await asyncio.Event().wait()
            finally:
                self.left.set()
        await response.write(b"second")
        return response


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[KeyProxy, Upstream]]:
    """A proxy in front of an API, under a path."""
    upstream = Upstream()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", upstream.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    proxy = KeyProxy("sk-real", f"http://127.0.0.1:{runner.addresses[0][1]}/base", silence=60)
    try:
        yield proxy, upstream
    finally:
        await proxy.aclose()
        await runner.cleanup()


async def test_only_the_key_changes() -> None:
    """Status, headers and bodies are the same on both sides, streamed or not. A token does not leave the gateway."""
    async with proxied() as (proxy, upstream), httpx.AsyncClient(trust_env=False) as client:
        headers = {"x-api-key": await proxy.add_token(), "authorization": "Bearer other", "anthropic-beta": "a,b"}
        url = f"{proxy.url}/v1/messages?beta=true"

        async def pieces() -> AsyncIterator[bytes]:
            yield BODY[:5]
            yield BODY[5:]

        for content in (BODY, pieces()):
            answer = await client.post(url, headers=headers, content=content)
            assert (answer.status_code, answer.text, answer.headers["x-own"]) == (418, "first second", "kept")
    for path, received, body in upstream.requests:
        assert (path, body) == ("/base/v1/messages?beta=true", BODY)
        assert (received["x-api-key"], received["anthropic-beta"]) == ("sk-real", "a,b")
        assert "authorization" not in received
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("token", ["", "agent-", "removed"])
async def test_calls_without_a_token_are_refused(token: str) -> None:
    """Before their body is read. A token is not valid after its run."""
    async with proxied() as (proxy, upstream), httpx.AsyncClient(trust_env=False) as client:
        removed = await proxy.add_token()
        proxy.remove_token(removed)
        value = removed if token == "removed" else token
        answer = await client.post(f"{proxy.url}/v1/messages", headers={"x-api-key": value}, content=BODY)
        assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")
        assert upstream.requests == []


async def test_other_addresses_are_refused() -> None:
    """Files, models and others of the account, however the path is written."""
    async with proxied() as (proxy, upstream), httpx.AsyncClient(trust_env=False) as client:
        headers = {"x-api-key": await proxy.add_token()}
        for method, path in (
            ("GET", "/v1/messages"),
            ("POST", "/v1/files"),
            ("POST", "/v1/messages/../files"),
            ("POST", "/v1/messages/batches"),
            ("POST", "//v1/messages"),
            ("POST", "/v1/messages%2F..%2Ffiles"),
        ):
            answer = await client.request(
                method, httpx.URL(proxy.url).copy_with(raw_path=path.encode()), headers=headers
            )
            assert (answer.status_code, answer.json()["error"]["type"]) == (403, "permission_error")
        assert upstream.requests == []


async def test_a_runtime_that_leaves_ends_its_call() -> None:
    """The call to the API ends, too."""
    async with proxied() as (proxy, upstream), httpx.AsyncClient(trust_env=False) as client:
        headers = {"x-api-key": await proxy.add_token()}
        async with client.stream("POST", f"{proxy.url}/v1/messages?slow", headers=headers, content=BODY) as response:
            assert await anext(response.aiter_bytes()) == b"first "
        await with_timeout(upstream.left.wait())


async def test_an_api_that_cannot_be_reached() -> None:
    """The runtime gets an error that it can report."""
    proxy = KeyProxy("sk-real", "http://127.0.0.1:1", silence=5)
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            headers = {"x-api-key": await proxy.add_token()}
            answer = await client.post(f"{proxy.url}/v1/messages", headers=headers, content=BODY)
            assert (answer.status_code, answer.json()["error"]["type"]) == (502, "api_error")
    finally:
        await proxy.aclose()


class Calls:
    """A `CallMeter` and its only call. It refuses if it has an error.

    Attributes:
        noted: What the call has used.
        has_ended: Whether it has ended.
    """

    def __init__(self, refusal: GatewayError | None = None, max_tokens: int | None = None) -> None:
        self.refusal = refusal
        self.max_tokens = max_tokens
        self.noted: list[JSONObject] = []
        self.has_ended = False

    async def begin(self, body: JSONObject) -> ReservedCall:
        """Return the call."""
        assert body["model"] == "m"
        if self.refusal:
            raise self.refusal
        return self

    async def end_turn(self, usage: JSONObject) -> None:
        """Fail: all calls are seen."""
        raise AssertionError(usage)

    def note(self, usage: JSONObject) -> None:
        """Record it."""
        self.noted.append(usage)

    def end(self) -> None:
        """Record it."""
        self.has_ended = True


CALL_BODY = b'{"model": "m", "max_tokens": 9000}'


async def test_a_call_that_limits_refuse_is_not_made() -> None:
    """The run gets the error itself, and the runtime one that it does not repeat."""
    async with proxied() as (proxy, upstream), httpx.AsyncClient(trust_env=False) as client:
        refusal = QuotaExceeded("Spent.")
        refused: list[GatewayError] = []
        headers = {"x-api-key": await proxy.add_token(Calls(refusal), refused.append)}
        for body, errors in ((CALL_BODY, [refusal]), (b"[]", [])):
            refused.clear()
            answer = await client.post(f"{proxy.url}/v1/messages", headers=headers, content=body)
            assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
            assert refused == errors
        assert upstream.requests == []


async def test_the_lower_limit_of_a_call_is_sent() -> None:
    """Counting tokens is no call."""
    async with proxied() as (proxy, upstream), httpx.AsyncClient(trust_env=False) as client:
        calls = Calls(max_tokens=2000)
        headers = {"x-api-key": await proxy.add_token(calls)}
        for path in ("messages", "messages/count_tokens"):
            await client.post(f"{proxy.url}/v1/{path}", headers=headers, content=CALL_BODY)
        assert [json.loads(body)["max_tokens"] for _, _, body in upstream.requests] == [2000, 9000]
        assert calls.has_ended


START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1}}}\n\n'
)
DELTA = b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"123456789"}}\r\n\r\n'
END = b'data: {"type":"message_delta","delta":{},"usage":{"output_tokens":7}}\n\n'
PLAIN = b'{"type":"message","usage":{"input_tokens":5,"output_tokens":7}}'


@pytest.mark.parametrize(
    ("body", "output"),
    [(START + DELTA + END, 7), (START + DELTA, 3), (START, 1), (PLAIN, 7), (b'{"type":"error"}', None), (b"", None)],
    ids=["stream", "cut stream", "begun stream", "message", "error", "nothing"],
)
@pytest.mark.parametrize("size", [1, 10_000])
def test_the_usage_of_a_call_is_read_from_its_response(body: bytes, output: int | None, size: int) -> None:
    """Output that was not counted is estimated. The response comes in pieces of any size."""
    calls = Calls()
    usage = CallUsage(calls)
    for start in range(0, len(body), size):
        usage.feed(body[start : start + size])
    usage.end()
    usage.end()
    assert calls.has_ended
    last = calls.noted[-1] if calls.noted else None
    assert last == (None if output is None else {"input_tokens": 5, "output_tokens": output})
