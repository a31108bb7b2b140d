"""Cache marks without asking, judged by the simulated API's own cache."""

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


def said(role: str, *texts: str) -> Message:
    """A message."""
    return cast("Message", {"role": role, "content": [{"type": "text", "text": text} for text in texts]})


def request(messages: list[Message], **fields: object) -> MessagesRequest:
    """A request with a long system prompt."""
    body = {"model": "claude-sonnet-4-5", "max_tokens": 1000, "messages": messages, "system": [_text(LONG)], **fields}
    return cast("MessagesRequest", body)


def _text(words: str) -> Block:
    return {"type": "text", "text": words}


def marks(value: JSON) -> list[JSON]:
    """All marks, in order."""
    if isinstance(value, list):
        return [mark for item in value for mark in marks(item)]
    if isinstance(value, dict):
        own = [value["cache_control"]] if "cache_control" in value else []
        return own + [mark for item in value.values() for mark in marks(item)]
    return []


def mark_all(body: MessagesRequest, ttl: CacheTtl = "5m", model: str = "claude-sonnet-4-5") -> MessagesRequest:
    """The request with marks; the one that was given must stay as it was."""
    before = copy.deepcopy(body)
    made = with_cache_marks(body, Catalog().resolve(model).model, ttl, msgspec.json.encode(body))
    assert body == before
    return made


def test_four_marks_at_most_on_what_stays() -> None:
    """Tools, system prompt, the newest message, and the user's turn before it."""
    messages = [said("user", "a"), said("assistant", "b"), said("user", "c"), said("assistant", "d"), said("user", "e")]
    made = mark_all(request(messages, tools=TOOLS))
    assert len(marks(cast("JSON", made))) == 4
    assert [number for number, message in enumerate(made["messages"]) if marks(cast("JSON", message))] == [2, 4]
    assert marks(cast("JSON", made["tools"])) == marks(cast("JSON", made["system"])) == [{"type": "ephemeral"}]


def test_the_ttl_is_said_where_it_is_not_the_default() -> None:
    """One hour, or nothing at all."""
    body = request([said("user", "a")])
    assert set(map(str, marks(cast("JSON", mark_all(body, "1h"))))) == {"{'type': 'ephemeral', 'ttl': '1h'}"}
    assert mark_all(body, "off") is body


def test_a_small_prompt_is_not_marked() -> None:
    """Each model has its smallest."""
    small = cast("MessagesRequest", {"model": "m", "messages": [said("user", "hello")], "system": [_text("Be brief.")]})
    assert mark_all(small) == small
    middle = request([said("user", "hello")], system=[_text("word " * 1200)])
    assert marks(cast("JSON", mark_all(middle)))
    assert mark_all(middle, model="claude-opus-4-5") == middle


def test_a_clients_own_marks_are_left_to_it() -> None:
    """Who marks, knows what stays."""
    own: Block = {**_text("hello"), "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    body = request([cast("Message", {"role": "user", "content": [own]})])
    assert mark_all(body) is body


def test_thinking_takes_no_mark() -> None:
    """The block before or behind it does."""
    thought: Block = {"type": "thinking", "thinking": "hm", "signature": "s"}
    message = cast("Message", {"role": "assistant", "content": [_text("a"), thought]})
    made = mark_all(request([said("user", "x"), message]))
    assert ["cache_control" in block for block in made["messages"][1]["content"]] == [True, False]


@pytest.mark.parametrize("ttl", ["5m", "1h"])
async def test_most_of_a_long_conversation_is_read_from_the_cache(ttl: CacheTtl) -> None:
    """Twenty turns with the simulator, which keeps a cache as the API does."""
    messages: list[Message] = []
    read = total = 0
    async with Simulator() as simulator, httpx.AsyncClient(base_url=simulator.url, headers=HEADERS) as client:
        for turn in range(20):
            messages.append(said("user", f"Question {turn}: " + "and so on " * 20))
            answer = await client.post("/v1/messages", json=mark_all(request(messages, tools=TOOLS), ttl))
            assert answer.status_code == 200, answer.text
            usage = answer.json()["usage"]
            read += usage["cache_read_input_tokens"]
            total += sum(
                usage[key] for key in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
            )
            messages.append(said("assistant", "".join(block["text"] for block in answer.json()["content"])))
    assert read / total > 0.85
