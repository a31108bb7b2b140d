"""Models, health, metrics and the documentation."""

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
    """The provider's list comes with the built-in one, aliases after it."""
    async with served(replies("Hello"), model_aliases={"fast": "haiku", "lost": "nothing"}) as gateway:
        gateway.backend.listed_models = [ListedModel("claude-opus-7", "Claude Opus 7")]
        found = {model.id: model async for model in gateway.openai.models.list()}
    assert {"claude-opus-7", "claude-sonnet-4-5", "sonnet", "fast"} <= found.keys()
    assert "lost" not in found
    assert {model.object for model in found.values()} == {"model"}
    assert found["claude-sonnet-4-5"].created == 1759104000


async def test_models_without_the_live_list() -> None:
    """Where the provider cannot be asked, the built-in list stands."""
    async with served(replies("Hello")) as gateway:
        gateway.backend.listed_models = errors.NotSignedIn("No key")
        found = [model.id async for model in gateway.openai.models.list()]
    assert "claude-opus-5-5" in found


async def test_chosen_models() -> None:
    """Only the chosen ones are listed and served, with the aliases that lead to them."""
    async with served(replies("Hello"), models=("haiku",), default_model="haiku") as gateway:
        found = [model.id async for model in gateway.openai.models.list()]
        with pytest.raises(APIStatusError) as caught:
            await gateway.openai.chat.completions.create(model="opus", messages=MESSAGES)
    assert found == ["claude-haiku-5-5", "haiku", "claude-haiku"]
    assert caught.value.status_code == 404


async def test_one_model() -> None:
    """By id, by alias, and unknown."""
    async with served(replies("Hello")) as gateway:
        by_id = await gateway.openai.models.retrieve("claude-haiku-5-5")
        by_alias = await gateway.openai.models.retrieve("haiku")
        with pytest.raises(APIStatusError) as caught:
            await gateway.openai.models.retrieve("org/gpt-9")
    assert by_id.id == "claude-haiku-5-5"
    assert by_alias.id == "haiku"
    assert (caught.value.status_code, caught.value.code) == (404, "model_not_found")


async def test_the_list_is_asked_for_once() -> None:
    """It is kept for its time; a failure is not repeated at every request either."""
    asked = 0

    async def listed() -> list[ListedModel]:
        nonlocal asked
        asked += 1
        raise UpstreamFailed("Broke")

    catalog = LiveCatalog(Catalog(), listed)
    assert await catalog.refresh()
    assert not await catalog.refresh()
    assert asked == 1


async def test_the_list_is_asked_for_once_by_many() -> None:
    """Who comes while it is being asked for waits for the same answer."""
    asked = 0
    answer = asyncio.Event()

    async def listed() -> list[ListedModel]:
        nonlocal asked
        asked += 1
        await answer.wait()
        return [ListedModel("claude-opus-7", "Claude Opus 7")]

    catalog = LiveCatalog(Catalog(), listed)
    first, second = asyncio.create_task(catalog.refresh()), asyncio.create_task(catalog.refresh())
    await asyncio.wait([first, second], timeout=0)
    answer.set()
    assert [await first, await second] == [True, True]
    assert asked == 1
    assert catalog().resolve("claude-opus-7").model.id == "claude-opus-7"


async def test_a_list_that_does_not_come() -> None:
    """It is waited for no longer than patience lasts."""

    async def listed() -> list[ListedModel]:
        await asyncio.Event().wait()
        return []

    assert await LiveCatalog(Catalog(), listed, timeout=0.01).refresh()


async def test_index_and_health() -> None:
    """The gateway says what it is and how it is."""
    async with served(replies("Hello")) as gateway:
        index = (await gateway.http.get("/")).json()
        alive = await gateway.http.get("/health")
        ready = await gateway.http.get("/health/ready")
        listed = [await gateway.http.get(path) for path in index["endpoints"] if path.startswith(("/h", "/m", "/d"))]
    assert index["version"] == __version__
    assert alive.json() == {"status": "ok"}
    assert ready.json()["status"] == "ready"
    assert {answer.status_code for answer in listed} == {200}


async def test_metrics() -> None:
    """Requests, tokens, runs and processes are counted; nothing that a client makes up is a label."""
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
    """A model that the API did not take is no label."""
    async with served(fails(errors.NotFound("No such model"))) as gateway:
        await gateway.http.post("/v1/chat/completions", json={"messages": MESSAGES})
        text = (await gateway.http.get("/metrics")).text
    assert 'dragoman_runs_total{model="unknown",path="none",status="failed"} 1.0' in text


async def test_openapi_document() -> None:
    """It is made of the types that read requests, and every reference in it leads somewhere."""
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


async def test_answers_fit_the_document() -> None:
    """What is really said has the form that is documented."""
    async with served(replies("Hello")) as gateway:
        document = (await gateway.http.get("/openapi.json")).json()
        answer = (await gateway.http.post("/v1/chat/completions", json={"messages": MESSAGES})).json()
        refusal = (await gateway.http.post("/v1/chat/completions", json={"messages": []})).json()
        models = (await gateway.http.get("/v1/models")).json()
    for instance, name in ((answer, "ChatCompletion"), (refusal, "Error"), (models, "ModelList")):
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema.validate(instance, schema)
