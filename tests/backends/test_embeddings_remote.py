"""Remote embeddings endpoints: requests, responses, errors and shutdown."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from embedding_endpoint import Endpoint, Respond, always, respond_with_usage, serve_endpoint, vectors
from local_model import numbers

from dragoman.backends.embeddings.remote import RemoteEmbedder, RemoteOptions
from dragoman.core import errors
from dragoman.core.errors import GatewayError, ShuttingDown, TimedOut, UnsupportedFeature, UpstreamFailed
from dragoman.core.value_object import replace

KEY = "sk-planted-0123"


@asynccontextmanager
async def remote_embedder(
    respond: Respond = respond_with_usage, *, hangs: bool = False, **options: Any
) -> AsyncIterator[tuple[RemoteEmbedder, Endpoint]]:
    """Serve an endpoint, and open an embedder for it."""
    async with serve_endpoint(respond, hangs=hangs) as endpoint:
        embedder = RemoteEmbedder(replace(RemoteOptions(endpoint.url, "big", KEY), **options))
        try:
            yield embedder, endpoint
        finally:
            await embedder.aclose()


async def embed_error(respond: Respond, **options: Any) -> GatewayError:
    """Embed one input, which must fail. Return the error."""
    async with remote_embedder(respond, **options) as (embedder, _):
        with pytest.raises(GatewayError) as caught:
            await embedder.embed(["a"])
    return caught.value


async def test_batches() -> None:
    """Each batch has its own request, with the key. Vectors are in order, and token counts are added up."""
    async with remote_embedder(batch=2) as (embedder, endpoint):
        result = await embedder.embed(["a", "bb", [1, 2, 3]])
    assert [list(numbers(vector)) for vector in result.vectors] == [[0, 1], [1, 2], [0, 3]]
    assert (result.tokens, result.truncated) == (3, ())
    assert sorted(len(body["input"]) for body, _ in endpoint.requests) == [1, 2]
    body, headers = endpoint.requests[0]
    assert (body["model"], body["encoding_format"]) == ("big", "base64")
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert "truncation" not in body


@pytest.mark.parametrize("no_proxy", ["", "embeddings.invalid"])
async def test_proxy(no_proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy of the environment is used, and `NO_PROXY` is respected. The proxy resolves the host name."""
    async with serve_endpoint() as endpoint:
        monkeypatch.setenv("http_proxy", endpoint.url.removesuffix("/v1"))
        monkeypatch.setenv("no_proxy", no_proxy)
        embedder = RemoteEmbedder(RemoteOptions("http://embeddings.invalid/v1", "big", KEY))
        try:
            if no_proxy:
                with pytest.raises(UpstreamFailed, match="cannot be reached"):
                    await embedder.embed(["a"])
                assert endpoint.requests == []
            else:
                await embedder.embed(["a"])
                assert endpoint.requests[0][1]["Host"] == "embeddings.invalid"
        finally:
            await embedder.aclose()


async def test_no_proxy_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint on this machine is called directly, even if the environment names a proxy."""
    monkeypatch.setenv("http_proxy", "http://proxy.invalid")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with remote_embedder() as (embedder, _):
        assert len((await embedder.embed(["a"])).vectors) == 1


async def test_without_a_key() -> None:
    """No `Authorization` header is sent. The URL may end with `/embeddings`."""
    async with serve_endpoint() as endpoint:
        embedder = RemoteEmbedder(RemoteOptions(f"{endpoint.url}/embeddings", "big"))
        await embedder.embed(["a"])
        await embedder.aclose()
    assert "Authorization" not in endpoint.requests[0][1]


async def test_response_without_base64_and_usage() -> None:
    """Vectors may be lists of numbers. Without `usage`, the number of tokens is unknown."""
    async with remote_embedder(lambda body: web.json_response(vectors(body, packed=False))) as (embedder, _):
        result = await embedder.embed(["abc"])
    assert list(numbers(result.vectors[0])) == [0, 3]
    assert result.tokens is None


async def test_voyage_dialect() -> None:
    """Truncation is disabled in the request, tokens are read from `total_tokens`, and token lists are refused."""

    def respond(body: Any) -> web.Response:
        return web.json_response(vectors(body, usage={"total_tokens": 9}))

    async with remote_embedder(respond, voyage=True) as (embedder, endpoint):
        assert (await embedder.embed(["a"])).tokens == 9
        assert endpoint.requests[0][0]["truncation"] is False
        with pytest.raises(UnsupportedFeature) as caught:
            await embedder.embed(["a", [1, 2]])
        assert caught.value.param == "input[1]"
    assert RemoteEmbedder(RemoteOptions("https://api.voyageai.com/v1", "voyage-3.5"))._voyage
    assert not RemoteEmbedder(RemoteOptions("https://notvoyageai.com/v1", "m"))._voyage


@pytest.mark.parametrize(
    ("status", "body", "error_type", "code"),
    [
        (400, {"error": {"message": "Bad input[3]."}}, errors.InvalidRequest, "invalid_value"),
        (400, {"error": {"code": "context_length_exceeded"}}, errors.ContextTooLong, "context_length_exceeded"),
        (422, {"detail": "Bad."}, errors.InvalidRequest, "invalid_value"),
        (401, {"error": {"message": f"Wrong key: {KEY}"}}, errors.NotSignedIn, "not_signed_in"),
        (403, "<html>", errors.NotSignedIn, "not_signed_in"),
        (402, {}, errors.QuotaExceeded, "insufficient_quota"),
        (404, {"error": "No such model"}, errors.UpstreamFailed, "upstream_error"),
        (413, {}, errors.RequestTooLarge, "request_too_large"),
        (429, {"error": {"code": "insufficient_quota"}}, errors.QuotaExceeded, "insufficient_quota"),
        (429, {"detail": f"Slow down, {KEY}"}, errors.RateLimited, "rate_limit_exceeded"),
        (500, "[", errors.UpstreamFailed, "upstream_error"),
        (503, {}, errors.Overloaded, "overloaded"),
        (302, {}, errors.UpstreamFailed, "upstream_error"),
    ],
)
async def test_error_responses(status: int, body: Any, error_type: type[GatewayError], code: str) -> None:
    """Each status maps to an error and a code. The message has neither the key nor the endpoint's input index."""
    error = await embed_error(always(status, body, **{"retry-after": "7", "location": "http://127.0.0.1:1/"}))
    assert type(error) is error_type
    assert error.code == code
    assert KEY not in error.message
    assert "[3]" not in error.message
    assert (error.param == "input") == isinstance(error, errors.InvalidRequest)


async def test_retry_after() -> None:
    """`Retry-After` in seconds is passed on. A date is ignored."""
    assert (await embed_error(always(429, {}, **{"retry-after": "7"}))).retry_after == 7
    assert (await embed_error(always(429, {}, **{"retry-after": "Fri, 01 Jan 2027 00:00:00 GMT"}))).retry_after is None


@pytest.mark.parametrize(
    "body",
    [
        "no json",
        {"data": "none"},
        {"data": []},
        {"data": [{"index": 1, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": "*"}]},
        {"data": [{"index": 0, "embedding": "AAA="}]},
        {"data": [{"index": 0, "embedding": []}]},
        {"data": [{"index": 0, "embedding": [1e300]}]},
    ],
)
async def test_invalid_responses(body: Any) -> None:
    """A response with malformed, missing or out-of-range vectors is an upstream error."""
    assert type(await embed_error(always(200, body))) is UpstreamFailed


async def test_vectors_of_different_sizes() -> None:
    """Vectors of different sizes in one result are an upstream error, because one model has one size."""

    def respond(body: Any) -> web.Response:
        size = 4 * len(body["input"])
        data = [{"index": i, "embedding": base64.b64encode(bytes(size)).decode()} for i in range(len(body["input"]))]
        return web.json_response({"data": data})

    async with remote_embedder(respond, batch=2) as (embedder, _):
        with pytest.raises(UpstreamFailed, match="different sizes"):
            await embedder.embed(["a", "b", "c"])


async def test_unreachable_endpoint() -> None:
    """The error does not contain the endpoint's address."""
    async with serve_endpoint() as endpoint:
        pass
    embedder = RemoteEmbedder(RemoteOptions(endpoint.url, "big"))
    with pytest.raises(UpstreamFailed, match="cannot be reached") as caught:
        await embedder.embed(["a"])
    assert "127.0.0.1" not in caught.value.message
    await embedder.aclose()


async def test_timeout() -> None:
    """If the endpoint does not respond in time, the request fails."""
    async with remote_embedder(hangs=True, timeout=0.05) as (embedder, _):
        with pytest.raises(TimedOut, match=r"0\.05 seconds"):
            await embedder.embed(["a"])


async def test_shutdown() -> None:
    """Running and later requests fail with `ShuttingDown`."""
    async with remote_embedder(hangs=True) as (embedder, endpoint):
        task = asyncio.create_task(embedder.embed(["a"]))
        while not endpoint.requests:
            await asyncio.wait([task], timeout=0.001)
        await embedder.aclose()
        with pytest.raises(ShuttingDown):
            await task
        with pytest.raises(ShuttingDown):
            await embedder.embed(["a"])


async def test_cancellation() -> None:
    """If the caller is cancelled, its calls of the endpoint end."""
    async with remote_embedder(hangs=True) as (embedder, endpoint):
        task = asyncio.create_task(embedder.embed(["a"]))
        while not endpoint.requests:
            await asyncio.wait([task], timeout=0.001)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert not embedder._calls


def test_key_is_not_in_repr() -> None:
    """The options can be printed or logged without the key."""
    assert KEY not in repr(RemoteOptions("http://a", "m", KEY))
