"""Cache marks for clients that set none, tested with the simulated API's own cache."""

import copy
from typing import cast

import httpx
import msgspec
import pytest

from dragoman.backends.anthropic.cache_control import with_cache_marks
from dragoman.backends.anthropic.options import CacheTtl
from dragoman.core.catalog import Catalog
from dragoman.core.messages import JSON, Block, JSONObject, Message, MessagesRequest
from dragoman.simulator.server import Simulator

LONG = "The rules of the house are long and must be read in full. " * 120
TOOLS: list[JSONObject] = [{"name": "look", "description": LONG, "input_schema": {"type": "object"}}]
HEADERS = {"x-api-key": "sk-ant-dummy", "anthropic-version": "2023-06-01"}


def message_of(role: str, *texts: str) -> Message:
    """Return a message."""
    return cast("Message", {"role": role, "content": [{"type": "text", "text": text} for text in texts]})


def request(messages: list[Message], **fields: object) -> MessagesRequest:
    """Return a request with a long system prompt."""
    body = {"model": "claude-sonnet-4-5", "max_tokens": 1000, "messages": messages, "system": [_text(LONG)], **fields}
    return cast("MessagesRequest", body)


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def marks(value: JSON) -> list[JSON]:
    """Return all marks, in order."""
    if isinstance(value, list):
        return [mark for item in value for mark in marks(item)]
    if isinstance(value, dict):
        own_block = [value["cache_control"]] if "cache_control" in value else []
        return own_block + [mark for item in value.values() for mark in marks(item)]
    return []


def add_marks(body: MessagesRequest, ttl: CacheTtl = "5m", model: str = "claude-sonnet-4-5") -> MessagesRequest:
    """Return the request with marks. Check that the given request is not changed."""
    before = copy.deepcopy(body)
    marked = with_cache_marks(body, Catalog().resolve(model).model, ttl, msgspec.json.encode(body))
    assert body == before
    return marked


def test_four_marks_on_the_parts_that_do_not_change() -> None:
    """Tools, system prompt, the newest message, and the user's turn before it."""
    messages = [
        message_of("user", "a"),
        message_of("assistant", "b"),
        message_of("user", "c"),
        message_of("assistant", "d"),
        message_of("user", "e"),
    ]
    marked = add_marks(request(messages, tools=TOOLS))
    assert len(marks(cast("JSON", marked))) == 4
    assert [number for number, message in enumerate(marked["messages"]) if marks(cast("JSON", message))] == [2, 4]
    assert marks(cast("JSON", marked["tools"])) == marks(cast("JSON", marked["system"])) == [{"type": "ephemeral"}]


def test_the_ttl_is_set_unless_it_is_the_default() -> None:
    """With `off` there are no marks."""
    body = request([message_of("user", "a")])
    assert set(map(str, marks(cast("JSON", add_marks(body, "1h"))))) == {"{'type': 'ephemeral', 'ttl': '1h'}"}
    assert add_marks(body, "off") is body


def test_a_small_prompt_is_not_marked() -> None:
    """Each model has its own minimum."""
    small = cast(
        "MessagesRequest", {"model": "m", "messages": [message_of("user", "hello")], "system": [_text("Be brief.")]}
    )
    assert add_marks(small) == small
    middle = request([message_of("user", "hello")], system=[_text("word " * 1200)])
    assert marks(cast("JSON", add_marks(middle)))
    assert add_marks(middle, model="claude-opus-4-5") == middle


def test_a_clients_own_marks_are_kept() -> None:
    """No mark is added to them."""
    own_block: Block = {**_text("hello"), "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    body = request([cast("Message", {"role": "user", "content": [own_block]})])
    assert add_marks(body) is body


def test_thinking_is_not_marked() -> None:
    """Another block of the message is marked instead."""
    thought: Block = {"type": "thinking", "thinking": "hm", "signature": "s"}
    message = cast("Message", {"role": "assistant", "content": [_text("a"), thought]})
    marked = add_marks(request([message_of("user", "x"), message]))
    assert ["cache_control" in block for block in marked["messages"][1]["content"]] == [True, False]


@pytest.mark.parametrize("ttl", ["5m", "1h"])
async def test_most_of_a_long_conversation_is_read_from_the_cache(ttl: CacheTtl) -> None:
    """Twenty turns with the simulator, whose cache works like the API's."""
    messages: list[Message] = []
    read = total = 0
    async with (
        Simulator() as simulator,
        httpx.AsyncClient(base_url=simulator.url, headers=HEADERS, timeout=300) as client,
    ):
        for turn in range(20):
            messages.append(message_of("user", f"Question {turn}: " + "and so on " * 20))
            answer = await client.post("/v1/messages", json=add_marks(request(messages, tools=TOOLS), ttl))
            assert answer.status_code == 200, answer.text
            usage = answer.json()["usage"]
            read += usage["cache_read_input_tokens"]
            total += sum(
                usage[key] for key in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
            )
            messages.append(message_of("assistant", "".join(block["text"] for block in answer.json()["content"])))
    assert read / total > 0.85
