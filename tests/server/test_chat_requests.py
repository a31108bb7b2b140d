"""Chat requests of every shape, through the server to the backend's request."""

from typing import Any

import pytest
from chat_support import WEATHER, call
from scripted import MESSAGES, clean, emits, opening, replies, served, text

from dragoman.core.catalog import Catalog
from dragoman.core.events import BlockStop, Event, MessageDelta, MessageStop
from dragoman.core.messages import JSON
from dragoman.core.warnings import RequestWarning
from dragoman.runs.run import Run
from dragoman.server.context import RequestContext
from dragoman.server.replies import run_headers
from dragoman.simulator.request import ApiRequest
from dragoman.simulator.rules.table import check

_clean = pytest.fixture(autouse=True)(clean)

URL = "/v1/chat/completions"
MODELS = ["claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-8", "claude-opus-5", "claude-sonnet-5-5"]
USER: JSON = {"role": "user", "content": "hi"}
SYSTEM: JSON = {"role": "system", "content": "Be brief."}
DEVELOPER: JSON = {"role": "developer", "content": [{"type": "text", "text": "In French."}]}
ASSISTANT: JSON = {"role": "assistant", "content": "Hello."}
TOOL_CALLS: JSON = {"role": "assistant", "content": "", "tool_calls": [call("c1"), call("c2")]}
RESULTS: list[JSON] = [{"role": "tool", "tool_call_id": id_, "content": "rain"} for id_ in ("c2", "c1")]

CHATS: dict[str, list[JSON]] = {
    "instructions first": [SYSTEM, DEVELOPER, USER],
    "instructions between": [USER, ASSISTANT, SYSTEM, USER, DEVELOPER, USER],
    "instructions last": [USER, ASSISTANT, SYSTEM],
    "instructions beside results": [USER, TOOL_CALLS, RESULTS[0], SYSTEM, RESULTS[1], DEVELOPER],
    "no user": [SYSTEM, DEVELOPER],
    "no user but an assistant": [SYSTEM, ASSISTANT, DEVELOPER],
    "the assistant first": [ASSISTANT, USER],
    "one role in a row": [USER, USER, ASSISTANT, ASSISTANT, USER, USER],
    "nothing beside calls": [USER, TOOL_CALLS, *RESULTS],
    "a word after results": [USER, TOOL_CALLS, *RESULTS, USER],
}


@pytest.mark.parametrize("model", MODELS)
async def test_every_conversation_is_valid_for_claude(model: str) -> None:
    """Each follows the API's rules for its model, and no text is lost."""
    async with served(replies("Bonjour")) as gateway:
        for name, messages in CHATS.items():
            response = await gateway.http.post(URL, json={"model": model, "messages": messages, "tools": [WEATHER]})
            assert response.status_code == 200, (name, response.text)
    for messages, request in zip(CHATS.values(), gateway.backend.requests, strict=True):
        body: Any = {"max_tokens": 1000, **request.body}
        check(ApiRequest(body, Catalog().resolve(model).model, {"anthropic-version": "2023-06-01"}, "key"))
        sent = str([request.body.get("system"), request.body["messages"]])
        for fragment in ("Be brief.", "In French.", "rain", "Hello.", "get_weather"):
            assert sent.count(fragment) == str(messages).count(fragment)


async def test_stop_sequences() -> None:
    """Claude gets the sequences. A response that ended at one has finish reason `stop`."""
    ended: Any = {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    close: list[Event] = [BlockStop(0, {}), MessageDelta({"delta": ended, "usage": {}}), MessageStop({})]
    async with served(emits([*opening(), text("one EN"), *close])) as gateway:
        response = await gateway.http.post(URL, json={"messages": MESSAGES, "stop": ["END", "STOP"]})
    assert gateway.backend.requests[0].body["stop_sequences"] == ["END", "STOP"]
    choice = response.json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("one EN", "stop")


async def test_metadata_and_user() -> None:
    """Claude gets the user as a hash and no metadata. The client gets a warning that metadata is ignored."""
    body = {"messages": MESSAGES, "metadata": {"project": "apollo"}, "user": "ann@example.com"}
    async with served(replies("Hello")) as gateway:
        response = await gateway.http.post(URL, json=body)
    sent = str(gateway.backend.requests[0].body)
    assert "apollo" not in sent
    assert "ann@example.com" not in sent
    assert response.headers["x-dragoman-warnings"] == '[{"code":"ignored","param":"metadata"}]'


async def test_a_warning_is_in_the_header_once() -> None:
    """Also if the request and its runs have it, or have it twice."""

    async def send(_: object) -> None:
        raise AssertionError

    context = RequestContext({"type": "http", "method": "POST", "path": "/", "headers": []}, send)
    first, second = RequestWarning("ignored", "seed", "Once."), RequestWarning("mapped", "stop", "Twice.")
    run = Run("ann", "claude-haiku-5-5")
    for of_request, of_run in (((first, first), ()), ((first,), (first,)), ((first, first), (second, second))):
        context.warnings, run.warnings = of_request, of_run
        shown = dict(run_headers(context, [run]))[b"x-dragoman-warnings"]
        assert shown.count(b"seed") == 1
        assert shown.count(b"stop") == bool(of_run and of_run[0] is second)


@pytest.mark.parametrize(
    ("messages", "param", "word"),
    [
        ([], "messages", "length"),
        ([{"role": "user", "content": " "}], "messages", "are empty"),
        ([USER, TOOL_CALLS, RESULTS[0]], "messages[1]", "c1"),
        ([USER, RESULTS[0]], "messages[1].tool_call_id", "c2"),
    ],
)
async def test_invalid_messages(messages: list[JSON], param: str, word: str) -> None:
    """Refused with the name of the field before Claude is called."""
    async with served(replies("Hello")) as gateway:
        response = await gateway.http.post(URL, json={"messages": messages})
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, param)
    assert word in error["message"]
    assert gateway.backend.requests == []
