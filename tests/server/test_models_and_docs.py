"""Models, health, metrics and the OpenAPI document over HTTP."""

import asyncio
import re

import jsonschema
import pytest
from openai import APIStatusError
from scripted import MESSAGES, clean, fails, replies, served

from dragoman import __version__
from dragoman.core import errors
from dragoman.core.catalog import Catalog
from dragoman.core.errors import UpstreamFailed
from dragoman.core.model_list import ListedModel
from dragoman.server.catalog import LiveCatalog

_clean = pytest.fixture(autouse=True)(clean)


async def test_models_with_the_live_list_and_aliases() -> None:
    """The provider's list is merged with the built-in one. Aliases follow."""
    async with served(replies("Hello"), model_aliases={"fast": "haiku", "lost": "claude-lost-9"}) as gateway:
        gateway.backend.listed_models = [ListedModel("claude-opus-7", "Claude Opus 7")]
        listed_models = {model.id: model async for model in gateway.openai.models.list()}
    assert {"claude-opus-7", "claude-sonnet-4-5", "sonnet", "fast"} <= listed_models.keys()
    assert "lost" not in listed_models
    assert {model.object for model in listed_models.values()} == {"model"}
    assert listed_models["claude-sonnet-4-5"].created == 1759104000


async def test_models_without_the_live_list() -> None:
    """If the provider's list cannot be read, the built-in list is used."""
    async with served(replies("Hello")) as gateway:
        gateway.backend.listed_models = errors.NotSignedIn("No key")
        listed_models = [model.id async for model in gateway.openai.models.list()]
    assert "claude-opus-5-5" in listed_models


async def test_models_setting() -> None:
    """Only these models are listed and served, with their aliases."""
    async with served(replies("Hello"), models=("haiku",), default_model="haiku") as gateway:
        listed_models = [model.id async for model in gateway.openai.models.list()]
        with pytest.raises(APIStatusError) as caught:
            await gateway.openai.chat.completions.create(model="opus", messages=MESSAGES)
    assert listed_models == ["claude-haiku-5-5", "haiku", "claude-haiku"]
    assert caught.value.status_code == 404


async def test_one_model() -> None:
    """By id and by alias; an unknown model is a 404."""
    async with served(replies("Hello")) as gateway:
        by_id = await gateway.openai.models.retrieve("claude-haiku-5-5")
        by_alias = await gateway.openai.models.retrieve("haiku")
        with pytest.raises(APIStatusError) as caught:
            await gateway.openai.models.retrieve("org/gpt-9")
    assert by_id.id == "claude-haiku-5-5"
    assert by_alias.id == "haiku"
    assert (caught.value.status_code, caught.value.code) == (404, "model_not_found")


async def test_list_is_requested_once() -> None:
    """It is cached. After a failure it is not requested again at once either."""
    requests = 0

    async def listed() -> list[ListedModel]:
        nonlocal requests
        requests += 1
        raise UpstreamFailed("Broke")

    catalog = LiveCatalog(Catalog(), listed)
    assert await catalog.refresh()
    assert not await catalog.refresh()
    assert requests == 1


async def test_concurrent_refreshes_share_one_request() -> None:
    """A second refresh waits for the first one's request."""
    requests = 0
    response = asyncio.Event()

    async def listed() -> list[ListedModel]:
        nonlocal requests
        requests += 1
        await response.wait()
        return [ListedModel("claude-opus-7", "Claude Opus 7")]

    catalog = LiveCatalog(Catalog(), listed)
    first, second = asyncio.create_task(catalog.refresh()), asyncio.create_task(catalog.refresh())
    await asyncio.wait([first, second], timeout=0)
    response.set()
    assert [await first, await second] == [True, True]
    assert requests == 1
    assert catalog().resolve("claude-opus-7").model.id == "claude-opus-7"


async def test_list_times_out() -> None:
    """The catalog waits for the list no longer than its timeout."""

    async def listed() -> list[ListedModel]:
        await asyncio.Event().wait()
        return []

    assert await LiveCatalog(Catalog(), listed, timeout=0.01).refresh()


async def test_index_and_health() -> None:
    """`GET /` lists the endpoints, and those without parameters work."""
    async with served(replies("Hello")) as gateway:
        index = (await gateway.http.get("/")).json()
        health = await gateway.http.get("/health")
        ready = await gateway.http.get("/health/ready")
        listed = [await gateway.http.get(path) for path in index["endpoints"] if path.startswith(("/h", "/m", "/d"))]
    assert index["version"] == __version__
    assert health.json() == {"status": "ok"}
    assert ready.json()["status"] == "ready"
    assert {response.status_code for response in listed} == {200}


async def test_metrics() -> None:
    """Requests, tokens, runs and processes are counted. No text of a client becomes a label."""
    async with served(replies("Hello")) as gateway:
        await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES)
        await gateway.http.get("/made-up")
        await gateway.http.get("/models/sonnet")
        await gateway.http.delete("/v1/models")
        text = (await gateway.http.get("/metrics")).text
    assert 'dragoman_requests_total{method="POST",route="/v1/chat/completions",status="200"} 1.0' in text
    assert 'dragoman_tokens_total{kind="output",model="claude-sonnet-5-5"} 7.0' in text
    assert 'dragoman_runs_total{model="claude-sonnet-5-5",path="warm",status="succeeded"} 1.0' in text
    assert 'dragoman_processes{state="spare"} 2.0' in text
    assert 'dragoman_first_token_seconds_count{path="warm"} 1.0' in text
    assert "dragoman_ready 1.0" in text
    assert "made-up" not in text
    assert 'route="/v1/models/{id}",status="200"} 1.0' in text
    assert 'state="all"' not in text
    assert 'method="any",route="/v1/models",status="405"' in text


async def test_failed_runs_are_counted_without_the_models_name() -> None:
    """A model that the API refused is not a label."""
    async with served(fails(errors.NotFound("No such model"))) as gateway:
        await gateway.http.post("/v1/chat/completions", json={"messages": MESSAGES})
        text = (await gateway.http.get("/metrics")).text
    assert 'dragoman_runs_total{model="unknown",path="none",status="failed"} 1.0' in text


async def test_openapi_document() -> None:
    """It contains the types that decode requests, and every reference in it resolves."""
    async with served(replies("Hello")) as gateway:
        document = (await gateway.http.get("/openapi.json")).json()
        listed = (await gateway.http.get("/")).json()["endpoints"]
    schemas = document["components"]["schemas"]
    assert document["openapi"].startswith("3.1")
    assert document["paths"].keys() <= set(listed)
    named = set(re.findall(r"#/components/schemas/([^\"']+)", str(document)))
    assert named <= schemas.keys()
    request = {"$ref": "#/components/schemas/ChatCompletionRequest", "components": document["components"]}
    jsonschema.validate({"model": "sonnet", "messages": MESSAGES}, request)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"messages": []}, request)


async def test_responses_match_the_document() -> None:
    """Real responses validate against the document."""
    async with served(replies("Hello")) as gateway:
        document = (await gateway.http.get("/openapi.json")).json()
        response = (await gateway.http.post("/v1/chat/completions", json={"messages": MESSAGES})).json()
        refused = (await gateway.http.post("/v1/chat/completions", json={"messages": []})).json()
        models = (await gateway.http.get("/v1/models")).json()
    for instance, name in ((response, "ChatCompletion"), (refused, "Error"), (models, "ModelList")):
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema.validate(instance, schema)
