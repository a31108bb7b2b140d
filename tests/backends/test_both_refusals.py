"""Conversations that the API refuses. No backend may correct them without an error."""

from pathlib import Path

import pytest
from any_backend import BACKENDS, either
from backend_harness import assistant, user

from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import Block, JSONObject, Message

TOOL: JSONObject = {"name": "look", "input_schema": {"type": "object"}}


def use(id_: str) -> Block:
    """Return a tool call."""
    return {"type": "tool_use", "id": id_, "name": "look", "input": {}}


def result(id_: str) -> Block:
    """Return a tool result."""
    return {"type": "tool_result", "tool_use_id": id_, "content": "It is there."}


def image(data: str) -> Block:
    """Return an image block, whose data may be invalid."""
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


INVALID_CONVERSATIONS: dict[str, list[Message]] = {
    "a call at the end": [user("Look."), assistant(use("a"))],
    "a call without a result": [user("Look."), assistant(use("a")), user("Well?")],
    "one of two results": [user("Look."), assistant(use("a"), use("b")), user(result("b"))],
    "a result behind words": [user("Look."), assistant(use("a")), user("Here:", result("a"))],
    "a result without a call": [user("Look."), assistant("Yes?"), user(result("a"))],
    "a result at the beginning": [user(result("a"))],
    "a result too many": [user("Look."), assistant(use("a")), user(result("a"), result("b"))],
    "two results of one call": [user("Look."), assistant(use("a")), user(result("a"), result("a"))],
    "one id twice": [user("Look."), assistant(use("a")), user(result("a")), assistant(use("a")), user(result("a"))],
    "an empty text": [user("Look."), assistant(""), user("Well?")],
    "a blank text": [user(" \n")],
    "an image in no base64": [user(image("!"), "What?")],
}


@BACKENDS
@pytest.mark.parametrize("name", INVALID_CONVERSATIONS)
async def test_what_the_api_refuses_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    """The error tells what is invalid, and the model does not answer."""
    async with either(kind, tmp_path) as harness:
        with pytest.raises(InvalidRequest) as caught:
            await harness.ask(INVALID_CONVERSATIONS[name], tools=[TOOL])
        assert caught.value.message.endswith(".")


async def test_a_damaged_image_is_refused_before_the_runtime_replaces_it(tmp_path: Path) -> None:
    """The runtime would replace the image with a text of its own."""
    async with either("runtime", tmp_path) as harness:
        with pytest.raises(InvalidRequest, match="damaged"):
            await harness.ask([user(image("iVBORw0KGgo="), "What?")])
        assert harness.calls == []


@BACKENDS
async def test_an_image_that_is_cut_behind_its_header_is_refused(tmp_path: Path, kind: str) -> None:
    """The header alone is not enough: without the end, the image cannot be read."""
    complete = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
    async with either(kind, tmp_path) as harness:
        with pytest.raises(InvalidRequest):
            await harness.ask([user(image(complete[:40]), "What?")])
        assert len(harness.calls) == (kind == "api")


@BACKENDS
async def test_thinking_without_a_valid_signature(tmp_path: Path, kind: str) -> None:
    """The API refuses it. The runtime then repeats the call without it, as the page on fidelity describes."""
    forged: Block = {"type": "thinking", "thinking": "I planned.", "signature": "Zm9yZ2Vk"}
    messages = [user("One"), assistant(forged, "Two"), user("Reply with exactly: PONG")]
    async with either(kind, tmp_path) as harness:
        if kind == "api":
            with pytest.raises(InvalidRequest, match="signature"):
                await harness.ask(messages)
        else:
            assert (await harness.ask(messages)).text == "PONG"
        assert ["I planned." in str(call.body) for call in harness.calls] == [True, False][: len(harness.calls)]
        assert len(harness.calls) == (1 if kind == "api" else 2)
