"""Chat completions with `store`: listed, read, updated and deleted with OpenAI's own client."""

import json
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError
from openai.types.chat import ChatCompletion
from openai_spec import assert_valid
from scripted import MESSAGES, Served, clean, hangs, opening, replies, text
from stored_support import served_with_store

_clean = pytest.fixture(autouse=True)(clean)


async def create_stored(gateway: Served, **fields: Any) -> str:
    """Create a stored completion, and return its id."""
    completion = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, store=True, **fields)
    assert isinstance(completion, ChatCompletion)
    return completion.id


async def test_list_and_retrieve(tmp_path: Path) -> None:
    """By model and metadata, a page at a time, also after a restart."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        first = await create_stored(gateway, metadata={"team": "a", "stage": "1"})
        second = await create_stored(gateway, metadata={"team": "a"})
        await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES)
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        client = gateway.openai.chat.completions
        listed = [one.id async for one in client.list(limit=1)]
        newest = [one.id async for one in client.list(order="desc")]
        by_metadata = [one.id async for one in client.list(metadata={"team": "a", "stage": "1"})]
        by_model = [one.id async for one in client.list(model="claude-sonnet-5-5")]
        no_matches = [one.id async for one in client.list(model="claude-haiku-5-5")]
        found = await client.retrieve(first)
        page = (await gateway.http.get("/v1/chat/completions", params={"limit": 1})).json()
        missing = await gateway.http.get("/v1/chat/completions", params={"after": "none"})
    assert (listed, newest, by_metadata) == ([first, second], [second, first], [first])
    assert (by_model, no_matches) == ([first, second], [])
    assert found.choices[0].message.content == "Hello"
    assert found.to_dict()["metadata"] == {"team": "a", "stage": "1"}
    assert (page["first_id"], page["last_id"], page["has_more"]) == (first, first, True)
    assert missing.status_code == 404
    assert_valid("ChatCompletionList", page)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        (f"limit={'9' * 5000}", "limit"),
        ("&".join(f"metadata[k{number}]=v" for number in range(2000)), "metadata"),
    ],
)
async def test_invalid_list_query(tmp_path: Path, query: str, param: str) -> None:
    """The error is a 400 that names the parameter, and not a failure of the store."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        refused = await gateway.http.get(f"/v1/chat/completions?{query}")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


async def test_streamed_completion_is_stored(tmp_path: Path) -> None:
    """It is stored with the id of its chunks and with all choices."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        body = {"model": "sonnet", "messages": MESSAGES, "store": True, "stream": True, "n": 2}
        stream = await gateway.http.post("/v1/chat/completions", json=body)
        chunks = [json.loads(line[6:]) for line in stream.text.splitlines() if line.startswith("data: {")]
        found = (await gateway.http.get(f"/v1/chat/completions/{chunks[0]['id']}")).json()
    assert stream.text.endswith("data: [DONE]\n\n")
    assert [choice["message"]["content"] for choice in found["choices"]] == ["Hello", "Hello"]
    assert_valid("CreateChatCompletionResponse", found)


async def test_list_messages(tmp_path: Path) -> None:
    """The request's messages are listed with ids, and with content parts if they had parts."""
    parts = [{"type": "text", "text": "Say"}, {"type": "text", "text": " it"}]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts, "name": "ann"}]
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        body = {"model": "sonnet", "messages": messages, "store": True}
        id_ = (await gateway.http.post("/v1/chat/completions", json=body)).json()["id"]
        found = [one async for one in gateway.openai.chat.completions.messages.list(id_, limit=1)]
        newest = (await gateway.http.get(f"/v1/chat/completions/{id_}/messages?order=desc")).json()
    assert [one.id for one in found] == [f"{id_}-0", f"{id_}-1"]
    assert [one.content for one in found] == ["Be brief.", "Say it"]
    assert newest["data"][0]["content_parts"] == parts
    assert newest["data"][1]["content_parts"] is None
    assert newest["has_more"] is False


async def test_update_metadata(tmp_path: Path) -> None:
    """Only the metadata changes. Invalid metadata is refused, with the name of the field."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        client, id_ = gateway.openai.chat.completions, await create_stored(gateway, metadata={"stage": "1"})
        changed = await client.update(id_, metadata={"stage": "2"})
        found = [one.id async for one in client.list(metadata={"stage": "2"})]
        for body in ({}, {"metadata": {"a": 1}}, {"metadata": ["a"]}, {"metadata": {"k" * 65: "v"}}):
            refused = await gateway.http.post(f"/v1/chat/completions/{id_}", json=body)
            assert (refused.status_code, refused.json()["error"]["param"][:8]) == (400, "metadata")
        with pytest.raises(BadRequestError, match="16 keys"):
            await create_stored(gateway, metadata={str(number): "v" for number in range(17)})
        with pytest.raises(NotFoundError):
            await client.update("chatcmpl-none", metadata={})
    assert changed.to_dict()["metadata"] == {"stage": "2"}
    assert changed.choices[0].message.content == "Hello"
    assert found == [id_]


async def test_delete(tmp_path: Path) -> None:
    """A second delete is a 404. A response is not a completion."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        client, id_ = gateway.openai.chat.completions, await create_stored(gateway)
        response = await gateway.openai.responses.create(input="Say it")
        deleted = await client.delete(id_)
        for gone in (id_, response.id):
            with pytest.raises(NotFoundError):
                await client.retrieve(gone)
            with pytest.raises(NotFoundError):
                await client.delete(gone)
        remaining = await gateway.openai.responses.retrieve(response.id)
    assert deleted.deleted
    assert_valid("ChatCompletionDeleted", deleted.to_dict())
    assert remaining.id == response.id


async def test_gateway_without_store(tmp_path: Path) -> None:
    """The error names the setting."""
    async with served_with_store(replies("Hello"), tmp_path, store=False) as gateway:
        with pytest.raises(BadRequestError, match="--no-store") as refusal:
            await create_stored(gateway)
    assert refusal.value.param == "store"


async def test_clients_see_only_their_own(tmp_path: Path) -> None:
    """A client cannot read what another client stored."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        id_ = await create_stored(gateway)
    async with served_with_store(replies("Hello"), tmp_path, api_key="gateway-key") as gateway:
        with pytest.raises(NotFoundError):
            await gateway.openai.chat.completions.retrieve(id_)


async def test_unfinished_completion_is_not_listed(tmp_path: Path) -> None:
    """One that is still generated is not listed. One that a shutdown ends is not stored."""
    async with served_with_store(hangs(after=[*opening(), text("Hel")]), tmp_path, shutdown_grace=0.0) as gateway:
        body = {"model": "sonnet", "messages": MESSAGES, "store": True, "stream": True}
        async with gateway.http.stream("POST", "/v1/chat/completions", json=body) as stream:
            await anext(stream.aiter_bytes())
        listed = (await gateway.http.get("/v1/chat/completions")).json()
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        again = (await gateway.http.get("/v1/chat/completions")).json()
    assert listed["data"] == again["data"] == []
