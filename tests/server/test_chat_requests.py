"""Chat requests of every shape, through the server to what the backend is asked."""

from typing import Any

import pytest
from chat_support import WEATHER, call
from scripted import MESSAGES, clean, emits, opening, replies, served, text

from dragoman.core.catalog import Catalog
from dragoman.core.events import BlockStop, Event, MessageDelta, MessageStop
from dragoman.core.messages import JSON
from dragoman.simulator.request import Call
from dragoman.simulator.rules.table import check

_clean = pytest.fixture(autouse=True)(clean)

URL = "/v1/chat/completions"
MODELS = ["claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-8", "claude-opus-5", "claude-sonnet-5-5"]
USER: JSON = {"role": "user", "content": "hi"}
SYSTEM: JSON = {"role": "system", "content": "Be brief."}
DEVELOPER: JSON = {"role": "developer", "content": [{"type": "text", "text": "In French."}]}
SAID: JSON = {"role": "assistant", "content": "Hello."}
CALLING: JSON = {"role": "assistant", "content": "", "tool_calls": [call("c1"), call("c2")]}
RESULTS: list[JSON] = [{"role": "tool", "tool_call_id": id_, "content": "rain"} for id_ in ("c2", "c1")]

CHATS: dict[str, list[JSON]] = {
    "instructions first": [SYSTEM, DEVELOPER, USER],
    "instructions between": [USER, SAID, SYSTEM, USER, DEVELOPER, USER],
    "instructions last": [USER, SAID, SYSTEM],
    "instructions beside results": [USER, CALLING, RESULTS[0], SYSTEM, RESULTS[1], DEVELOPER],
    "no user": [SYSTEM, DEVELOPER],
    "no user but an assistant": [SYSTEM, SAID, DEVELOPER],
    "the assistant first": [SAID, USER],
    "one role in a row": [USER, USER, SAID, SAID, USER, USER],
    "nothing beside calls": [USER, CALLING, *RESULTS],
    "a word after results": [USER, CALLING, *RESULTS, USER],
}


@pytest.mark.parametrize("model", MODELS)
async def test_every_chat_reaches_claude_as_it_takes_it(model: str) -> None:
    """By the rules of its API for that model; nothing that was written is lost on the way."""
    async with served(replies("Bonjour")) as gateway:
        for name, messages in CHATS.items():
            made = await gateway.http.post(URL, json={"model": model, "messages": messages, "tools": [WEATHER]})
            assert made.status_code == 200, (name, made.text)
    for messages, request in zip(CHATS.values(), gateway.backend.requests, strict=True):
        body: Any = {"max_tokens": 1000, **request.body}
        check(Call(body, Catalog().resolve(model).model, {"anthropic-version": "2023-06-01"}, "key"))
        sent = str([request.body.get("system"), request.body["messages"]])
        for words in ("Be brief.", "In French.", "rain", "Hello.", "get_weather"):
            assert sent.count(words) == str(messages).count(words)


async def test_stop() -> None:
    """The sequences are Claude's to watch for; an answer that ended at one has stopped."""
    ended: Any = {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    close: list[Event] = [BlockStop(0, {}), MessageDelta({"delta": ended, "usage": {}}), MessageStop({})]
    async with served(emits([*opening(), text("one EN"), *close])) as gateway:
        made = await gateway.http.post(URL, json={"messages": MESSAGES, "stop": ["END", "STOP"]})
    assert gateway.backend.requests[0].body["stop_sequences"] == ["END", "STOP"]
    choice = made.json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("one EN", "stop")


async def test_labels_and_users() -> None:
    """Claude is told of the user as a hash and of labels not at all; the client is told that they do nothing."""
    asked = {"messages": MESSAGES, "metadata": {"project": "apollo"}, "user": "ann@example.com"}
    async with served(replies("Hello")) as gateway:
        made = await gateway.http.post(URL, json=asked)
    sent = str(gateway.backend.requests[0].body)
    assert "apollo" not in sent
    assert "ann@example.com" not in sent
    assert made.headers["x-dragoman-warnings"] == '[{"code":"ignored","param":"metadata"}]'


@pytest.mark.parametrize(
    ("messages", "param", "word"),
    [
        ([], "messages", "length"),
        ([{"role": "user", "content": " "}], "messages", "are empty"),
        ([USER, CALLING, RESULTS[0]], "messages[1]", "c1"),
        ([USER, RESULTS[0]], "messages[1].tool_call_id", "c2"),
    ],
)
async def test_what_cannot_be_a_chat_is_refused_by_name(messages: list[JSON], param: str, word: str) -> None:
    """Before Claude is asked."""
    async with served(replies("Hello")) as gateway:
        made = await gateway.http.post(URL, json={"messages": messages})
    error = made.json()["error"]
    assert (made.status_code, error["param"]) == (400, param)
    assert word in error["message"]
    assert gateway.backend.requests == []
