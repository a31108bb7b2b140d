"""`/v1/embeddings` over HTTP: with the real model, without a model, and with a fake one."""

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import openai
import pytest
from embedding_endpoint import serve_endpoint
from local_model import likeness, wants_model
from openai import AsyncOpenAI
from openai_spec import assert_valid
from scripted import KEY, ScriptedBackend, clean, replies

from dragoman.backends.base import Embedded, Embedder
from dragoman.backends.embeddings.library import AbsentEmbedder
from dragoman.config.loading import BadSettings, load
from dragoman.core.errors import ContextTooLong
from dragoman.server.http_server import Server, listen
from dragoman.wiring.gateway import build


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clean(monkeypatch, tmp_path)


class FakeEmbedder:
    """An embedder whose vectors are each input's index and length."""

    model = "mini"

    def __init__(self, *, truncated: Sequence[int] = (), hangs: bool = False) -> None:
        self.truncated = truncated
        self.hangs = hangs
        self.entered = asyncio.Event()
        self.left = asyncio.Event()

    async def embed(self, inputs: Sequence[str | list[int]]) -> Embedded:
        """Return two numbers for each input, or hang."""
        self.entered.set()
        try:
            if self.hangs:
                await asyncio.Event().wait()
            if "long" in inputs:
                raise ContextTooLong("Too long.", param="input[0]")
            vectors = [struct.pack("<2f", index, len(input_)) for index, input_ in enumerate(inputs)]
            return Embedded(vectors, len(inputs), self.truncated)
        finally:
            self.left.set()

    async def aclose(self, grace: float = 0) -> None:
        """Do nothing."""


@asynccontextmanager
async def served(embedder: Embedder | None = None, **settings: object) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a gateway, and return a client for it."""
    sock = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    settings_ = load({"port": 0, "log_level": "off", **settings}, env_file=None)
    async with build(settings_, ScriptedBackend(replies("Hello")), embedder) as gateway:
        server = Server(gateway.app, gateway, 5)
        serve_task = asyncio.create_task(server.serve([sock]))
        async with httpx.AsyncClient(base_url=url, timeout=120) as http:
            try:
                yield http
            finally:
                server.stop()
                await serve_task


@wants_model
async def test_official_client_and_real_model() -> None:
    """All encodings and OpenAI's model names work. Similar sentences have similar vectors."""
    texts = ["A cat sleeps on the sofa.", "A kitten naps on the couch.", "Interest rates went up."]
    async with served() as http, AsyncOpenAI(base_url=f"{http.base_url}/v1", api_key=KEY, max_retries=0) as client:
        vectors = await client.embeddings.create(model="text-embedding-3-small", input=texts)
        short = await client.embeddings.create(
            model="all-MiniLM-L6-v2", input=texts[0], dimensions=16, encoding_format="float"
        )
        tokens = await client.embeddings.create(model="text-embedding-ada-002", input=[[9906, 1917], [0]])
        raw = (await http.post("/embeddings", json={"input": texts})).json()
        with pytest.raises(openai.BadRequestError) as caught:
            await client.embeddings.create(model="text-embedding-3-large", input="word " * 300)
    cat, kitten, rates = (item.embedding for item in vectors.data)
    assert likeness(cat, kitten) > likeness(cat, rates) + 0.3
    assert (vectors.model, len(cat)) == ("all-MiniLM-L6-v2", 384)
    assert vectors.usage.prompt_tokens == vectors.usage.total_tokens == 26
    assert len(short.data[0].embedding) == 16
    assert likeness(short.data[0].embedding, short.data[0].embedding) == pytest.approx(1, abs=1e-5)
    assert [item.index for item in tokens.data] == [0, 1]
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input[0]")
    assert_valid("CreateEmbeddingResponse", raw)


async def test_without_a_model() -> None:
    """The status is 501, and the message has the command that installs a model."""
    async with served(AbsentEmbedder("mini")) as http:
        response = await http.post("/v1/embeddings", json={"input": "a"})
    assert response.status_code == 501
    assert response.json()["error"]["code"] == "not_installed"
    assert 'pip install "dragoman[embeddings]"' in response.json()["error"]["message"]
    assert_valid("ErrorResponse", response.json())


async def test_warnings() -> None:
    """The header lists what was ignored and what was truncated."""
    async with served(FakeEmbedder(truncated=[1])) as http:
        response = await http.post("/v1/embeddings", json={"input": ["a", "b"], "user": "u"})
        plain = await http.post("/v1/embeddings", json={"input": ["a"], "encoding_format": "base64"})
    warnings = json.loads(response.headers["x-dragoman-warnings"])
    assert warnings == [{"code": "ignored", "param": "user"}, {"code": "truncated", "param": "input[1]"}]
    assert base64.b64decode(plain.json()["data"][0]["embedding"]) == struct.pack("<2f", 0, 1)


async def test_errors() -> None:
    """Errors of the request and of the model have OpenAI's format. The metrics count them."""
    async with served(FakeEmbedder()) as http:
        refused = [await http.post("/v1/embeddings", json=body) for body in ({}, {"input": "a", "model": "haiku"})]
        long = await http.post("/v1/embeddings", json={"input": ["long"]})
        metrics_text = (await http.get("/metrics")).text
    assert [response.status_code for response in (*refused, long)] == [400, 404, 400]
    assert long.json()["error"]["param"] == "input[0]"
    assert 'dragoman_errors_total{code="context_length_exceeded",route="/v1/embeddings"} 1.0' in metrics_text


async def test_key_is_required() -> None:
    """A request without the key is refused."""
    async with served(FakeEmbedder(), api_key=KEY) as http:
        without_key = await http.post("/v1/embeddings", json={"input": "a"})
        with_key = await http.post("/v1/embeddings", json={"input": "a"}, headers={"authorization": f"Bearer {KEY}"})
    assert (without_key.status_code, with_key.status_code) == (401, 200)


async def test_largest_request() -> None:
    """A request may have 2048 inputs. The vectors are in order."""
    async with served(FakeEmbedder()) as http:
        vectors = (await http.post("/v1/embeddings", json={"input": ["a"] * 2048})).json()
    assert [item["embedding"][0] for item in vectors["data"]] == list(range(2048))


async def test_disconnect_cancels_the_embedding() -> None:
    """If the client disconnects, the embedder's call is cancelled."""
    embedder = FakeEmbedder(hangs=True)
    async with served(embedder) as http:
        request = asyncio.create_task(http.post("/v1/embeddings", json={"input": "a"}))
        await embedder.entered.wait()
        request.cancel()
        await embedder.left.wait()


async def test_remote_endpoint() -> None:
    """OpenAI's model names select the endpoint's model. The endpoint receives its own model name and key."""
    async with (
        serve_endpoint() as endpoint,
        served(embeddings_url=endpoint.url, embeddings_model="big", embeddings_api_key="sk-there") as http,
    ):
        response = await http.post("/v1/embeddings", json={"model": "text-embedding-3-small", "input": ["abc"]})
    body, headers = endpoint.requests[0]
    assert (response.json()["model"], response.json()["data"][0]["embedding"]) == ("big", [0, 3])
    assert (body["model"], headers["Authorization"]) == ("big", "Bearer sk-there")


async def test_remote_endpoint_needs_a_model_name() -> None:
    """With a remote endpoint, the gateway does not start without `--embeddings-model`."""
    settings = load({"embeddings_url": "http://127.0.0.1:1/v1"}, env_file=None)
    with pytest.raises(BadSettings, match="--embeddings-model NAME"):
        async with build(settings, ScriptedBackend(replies("Hello"))):
            pass


async def test_requests_per_minute_include_embeddings() -> None:
    """All endpoints share one limit and its headers."""
    async with served(FakeEmbedder(), requests_per_minute=1) as http:
        first = await http.post("/v1/embeddings", json={"input": "a"})
        second = await http.post("/v1/embeddings", json={"input": "b"})
        chat = await http.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "c"}]})
    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    assert (second.status_code, second.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(second.headers["retry-after"]) > 0
    assert chat.status_code == 429
