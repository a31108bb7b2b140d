"""Chat completions with `store`: listed, asked for, labelled and deleted, by OpenAI's own client."""

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


async def stored(gateway: Served, **fields: Any) -> str:
    """The id of a completion that is kept."""
    made = await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES, store=True, **fields)
    assert isinstance(made, ChatCompletion)
    return made.id


async def test_they_are_listed_and_found(tmp_path: Path) -> None:
    """By model and metadata, a page at a time, also after a restart."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        first = await stored(gateway, metadata={"team": "a", "stage": "1"})
        second = await stored(gateway, metadata={"team": "a"})
        await gateway.openai.chat.completions.create(model="sonnet", messages=MESSAGES)
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        client = gateway.openai.chat.completions
        listed = [one.id async for one in client.list(limit=1)]
        newest = [one.id async for one in client.list(order="desc")]
        chosen = [one.id async for one in client.list(metadata={"team": "a", "stage": "1"})]
        model = [one.id async for one in client.list(model="claude-sonnet-5-5")]
        none = [one.id async for one in client.list(model="claude-haiku-5-5")]
        found = await client.retrieve(first)
        page = (await gateway.http.get("/v1/chat/completions", params={"limit": 1})).json()
        missing = await gateway.http.get("/v1/chat/completions", params={"after": "none"})
    assert (listed, newest, chosen) == ([first, second], [second, first], [first])
    assert (model, none) == ([first, second], [])
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
async def test_a_list_that_cannot_be(tmp_path: Path, query: str, param: str) -> None:
    """It is the client's fault, and no trouble of the store."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        refused = await gateway.http.get(f"/v1/chat/completions?{query}")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


async def test_a_streamed_one_is_kept_as_the_plain_one(tmp_path: Path) -> None:
    """With the id that its chunks had; with all of its choices."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        body = {"model": "sonnet", "messages": MESSAGES, "store": True, "stream": True, "n": 2}
        stream = await gateway.http.post("/v1/chat/completions", json=body)
        chunks = [json.loads(line[6:]) for line in stream.text.splitlines() if line.startswith("data: {")]
        found = (await gateway.http.get(f"/v1/chat/completions/{chunks[0]['id']}")).json()
    assert stream.text.endswith("data: [DONE]\n\n")
    assert [choice["message"]["content"] for choice in found["choices"]] == ["Hello", "Hello"]
    assert_valid("CreateChatCompletionResponse", found)


async def test_its_messages_are_listed(tmp_path: Path) -> None:
    """Those that it answers, with ids, and their parts where they came in parts."""
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


async def test_its_metadata_changes(tmp_path: Path) -> None:
    """And nothing else of it; what is no metadata is refused by name."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        client, id_ = gateway.openai.chat.completions, await stored(gateway, metadata={"stage": "1"})
        changed = await client.update(id_, metadata={"stage": "2"})
        found = [one.id async for one in client.list(metadata={"stage": "2"})]
        for body in ({}, {"metadata": {"a": 1}}, {"metadata": ["a"]}, {"metadata": {"k" * 65: "v"}}):
            refused = await gateway.http.post(f"/v1/chat/completions/{id_}", json=body)
            assert (refused.status_code, refused.json()["error"]["param"][:8]) == (400, "metadata")
        with pytest.raises(BadRequestError, match="16 keys"):
            await stored(gateway, metadata={str(number): "v" for number in range(17)})
        with pytest.raises(NotFoundError):
            await client.update("chatcmpl-none", metadata={})
    assert changed.to_dict()["metadata"] == {"stage": "2"}
    assert changed.choices[0].message.content == "Hello"
    assert found == [id_]


async def test_it_is_deleted(tmp_path: Path) -> None:
    """Once; a response is no completion."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        client, id_ = gateway.openai.chat.completions, await stored(gateway)
        response = await gateway.openai.responses.create(input="Say it")
        deleted = await client.delete(id_)
        for gone in (id_, response.id):
            with pytest.raises(NotFoundError):
                await client.retrieve(gone)
            with pytest.raises(NotFoundError):
                await client.delete(gone)
        left = await gateway.openai.responses.retrieve(response.id)
    assert deleted.deleted
    assert_valid("ChatCompletionDeleted", deleted.to_dict())
    assert left.id == response.id


async def test_without_a_store_it_is_refused_by_name(tmp_path: Path) -> None:
    """With what to do."""
    async with served_with_store(replies("Hello"), tmp_path, store=False) as gateway:
        with pytest.raises(BadRequestError, match="--no-store") as refusal:
            await stored(gateway)
    assert refusal.value.param == "store"


async def test_owners_see_their_own(tmp_path: Path) -> None:
    """What was kept for the holder of a key is nothing to others."""
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        id_ = await stored(gateway)
    async with served_with_store(replies("Hello"), tmp_path, api_key="gateway-key") as gateway:
        with pytest.raises(NotFoundError):
            await gateway.openai.chat.completions.retrieve(id_)


async def test_a_client_that_leaves_gets_its_completion_kept(tmp_path: Path) -> None:
    """Nothing of one that has not ended is listed; one that a stopping gateway ends is not kept at all."""
    async with served_with_store(hangs(after=[*opening(), text("Hel")]), tmp_path, shutdown_grace=0.0) as gateway:
        body = {"model": "sonnet", "messages": MESSAGES, "store": True, "stream": True}
        async with gateway.http.stream("POST", "/v1/chat/completions", json=body) as stream:
            await anext(stream.aiter_bytes())
        listed = (await gateway.http.get("/v1/chat/completions")).json()
    async with served_with_store(replies("Hello"), tmp_path) as gateway:
        again = (await gateway.http.get("/v1/chat/completions")).json()
    assert listed["data"] == again["data"] == []
