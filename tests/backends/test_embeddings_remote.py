"""Remote endpoints: what they are asked, and what becomes of their answers and refusals."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from embedding_endpoint import Endpoint, Respond, counted, endpoint, says, vectors
from local_model import numbers

from dragoman.backends.embeddings.remote import RemoteEmbedder, RemoteOptions
from dragoman.core import errors
from dragoman.core.errors import GatewayError, ShuttingDown, TimedOut, UnsupportedFeature, UpstreamFailed

KEY = "sk-planted-0123"


@asynccontextmanager
async def remote(
    respond: Respond = counted, *, hangs: bool = False, **options: Any
) -> AsyncIterator[tuple[RemoteEmbedder, Endpoint]]:
    """An embedder and the endpoint it asks."""
    async with endpoint(respond, hangs=hangs) as served:
        embedder = RemoteEmbedder(replace(RemoteOptions(served.url, "big", KEY), **options))
        try:
            yield embedder, served
        finally:
            await embedder.aclose()


async def refusal(respond: Respond, **options: Any) -> GatewayError:
    """What a client is told of it."""
    async with remote(respond, **options) as (embedder, _):
        with pytest.raises(GatewayError) as caught:
            await embedder.embed(["a"])
    return caught.value


async def test_batches_come_back_in_order() -> None:
    """Each in a question of its own, with the key; tokens added up."""
    async with remote(batch=2) as (embedder, served):
        made = await embedder.embed(["a", "bb", [1, 2, 3]])
    assert [list(numbers(vector)) for vector in made.vectors] == [[0, 1], [1, 2], [0, 3]]
    assert (made.tokens, made.truncated) == (3, ())
    assert sorted(len(body["input"]) for body, _ in served.asked) == [1, 2]
    body, headers = served.asked[0]
    assert (body["model"], body["encoding_format"]) == ("big", "base64")
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert "truncation" not in body


@pytest.mark.parametrize("direct", ["", "embeddings.invalid"])
async def test_a_proxy_leads_there(direct: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the environment says, `NO_PROXY` included; the name itself is known to the proxy alone."""
    async with endpoint() as served:
        monkeypatch.setenv("http_proxy", served.url.removesuffix("/v1"))
        monkeypatch.setenv("no_proxy", direct)
        embedder = RemoteEmbedder(RemoteOptions("http://embeddings.invalid/v1", "big", KEY))
        try:
            if direct:
                with pytest.raises(UpstreamFailed, match="cannot be reached"):
                    await embedder.embed(["a"])
                assert served.asked == []
            else:
                await embedder.embed(["a"])
                assert served.asked[0][1]["Host"] == "embeddings.invalid"
        finally:
            await embedder.aclose()


async def test_no_proxy_leads_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model server beside the gateway is asked itself, whatever the environment says of the world outside."""
    monkeypatch.setenv("http_proxy", "http://proxy.invalid")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with remote() as (embedder, _):
        assert len((await embedder.embed(["a"])).vectors) == 1


async def test_without_a_key_none_is_sent() -> None:
    """Many endpoints in one's own house have none. `/embeddings` may stand in the URL already."""
    async with endpoint() as served:
        embedder = RemoteEmbedder(RemoteOptions(f"{served.url}/embeddings", "big"))
        await embedder.embed(["a"])
        await embedder.aclose()
    assert "Authorization" not in served.asked[0][1]


async def test_endpoints_that_pack_nothing() -> None:
    """Lists of numbers are taken as well; figures that nobody gave are not made up."""
    async with remote(lambda body: web.json_response(vectors(body, packed=False))) as (embedder, _):
        made = await embedder.embed(["abc"])
    assert list(numbers(made.vectors[0])) == [0, 3]
    assert made.tokens is None


async def test_voyages_dialect() -> None:
    """It cuts long texts unless it is told not to, counts in another field, and takes no tokens."""

    def respond(body: Any) -> web.Response:
        return web.json_response(vectors(body, usage={"total_tokens": 9}))

    async with remote(respond, voyage=True) as (embedder, served):
        assert (await embedder.embed(["a"])).tokens == 9
        assert served.asked[0][0]["truncation"] is False
        with pytest.raises(UnsupportedFeature) as caught:
            await embedder.embed(["a", [1, 2]])
        assert caught.value.param == "input[1]"
    assert RemoteEmbedder(RemoteOptions("https://api.voyageai.com/v1", "voyage-3.5"))._voyage
    assert not RemoteEmbedder(RemoteOptions("https://notvoyageai.com/v1", "m"))._voyage


@pytest.mark.parametrize(
    ("status", "body", "cause", "code"),
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
async def test_refusals(status: int, body: Any, cause: type[GatewayError], code: str) -> None:
    """Each has its cause, the endpoint's words where they help, and never the key."""
    error = await refusal(says(status, body, **{"retry-after": "7", "location": "http://127.0.0.1:1/"}))
    assert type(error) is cause
    assert error.code == code
    assert KEY not in error.message
    assert "[3]" not in error.message
    assert (error.param == "input") == isinstance(error, errors.InvalidRequest)


async def test_when_to_come_again() -> None:
    """As the endpoint says; dates are left out."""
    assert (await refusal(says(429, {}, **{"retry-after": "7"}))).retry_after == 7
    assert (await refusal(says(429, {}, **{"retry-after": "Fri, 01 Jan 2027 00:00:00 GMT"}))).retry_after is None


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
async def test_answers_that_are_none(body: Any) -> None:
    """Nothing is guessed from an answer that is not what was asked for."""
    assert type(await refusal(says(200, body))) is UpstreamFailed


async def test_vectors_of_different_sizes() -> None:
    """They cannot be of one model."""

    def respond(body: Any) -> web.Response:
        size = 4 * len(body["input"])
        made = [{"index": i, "embedding": base64.b64encode(bytes(size)).decode()} for i in range(len(body["input"]))]
        return web.json_response({"data": made})

    async with remote(respond, batch=2) as (embedder, _):
        with pytest.raises(UpstreamFailed, match="different sizes"):
            await embedder.embed(["a", "b", "c"])


async def test_an_endpoint_that_is_not_there() -> None:
    """Said without its address."""
    async with endpoint() as served:
        pass
    embedder = RemoteEmbedder(RemoteOptions(served.url, "big"))
    with pytest.raises(UpstreamFailed, match="cannot be reached") as caught:
        await embedder.embed(["a"])
    assert "127.0.0.1" not in caught.value.message
    await embedder.aclose()


async def test_an_endpoint_that_is_silent() -> None:
    """It is given up in time."""
    async with remote(hangs=True, timeout=0.05) as (embedder, _):
        with pytest.raises(TimedOut, match=r"0\.05 seconds"):
            await embedder.embed(["a"])


async def test_stopping() -> None:
    """Who waits hears that the gateway stops; who comes after, too."""
    async with remote(hangs=True) as (embedder, served):
        asked = asyncio.create_task(embedder.embed(["a"]))
        while not served.asked:
            await asyncio.wait([asked], timeout=0.001)
        await embedder.aclose()
        with pytest.raises(ShuttingDown):
            await asked
        with pytest.raises(ShuttingDown):
            await embedder.embed(["a"])


async def test_a_client_that_leaves() -> None:
    """Its questions end with it."""
    async with remote(hangs=True) as (embedder, served):
        asked = asyncio.create_task(embedder.embed(["a"]))
        while not served.asked:
            await asyncio.wait([asked], timeout=0.001)
        asked.cancel()
        await asyncio.wait([asked])
        assert asked.cancelled()
        assert not embedder._calls


def test_the_key_does_not_show() -> None:
    """Not where options are printed."""
    assert KEY not in repr(RemoteOptions("http://a", "m", KEY))
