"""Conversations that the API refuses, and that no backend may put right in silence."""

from pathlib import Path

import pytest
from backend_harness import assistant, user
from both_harness import BACKENDS, either

from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import Block, JSONObject, Message

TOOL: JSONObject = {"name": "look", "input_schema": {"type": "object"}}


def use(id_: str) -> Block:
    """A call."""
    return {"type": "tool_use", "id": id_, "name": "look", "input": {}}


def result(id_: str) -> Block:
    """A call's result."""
    return {"type": "tool_result", "tool_use_id": id_, "content": "It is there."}


def image(data: str) -> Block:
    """A picture, or what is called one."""
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}


MISFITS: dict[str, list[Message]] = {
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
@pytest.mark.parametrize("name", MISFITS)
async def test_what_the_api_refuses_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    """The client learns what is wrong, and no model answers something else."""
    async with either(kind, tmp_path) as harness:
        with pytest.raises(InvalidRequest) as caught:
            await harness.ask(MISFITS[name], tools=[TOOL])
        assert caught.value.message.endswith(".")


async def test_a_damaged_image_is_refused_before_the_runtime_talks_of_it(tmp_path: Path) -> None:
    """It would tell the model in its own words that it could not read it."""
    async with either("runtime", tmp_path) as harness:
        with pytest.raises(InvalidRequest, match="damaged"):
            await harness.ask([user(image("iVBORw0KGgo="), "What?")])
        assert harness.calls == []


@BACKENDS
async def test_thinking_that_nobody_signed(tmp_path: Path, kind: str) -> None:
    """The API refuses it; the runtime leaves it out then and asks again, as the page on fidelity says."""
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
