"""Warnings as a line in front of a response, and without it when the client sends the response back."""

from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest
from chat_support import script, text

from dragoman.backends.base import RunRequest
from dragoman.core.accumulate import accumulate
from dragoman.core.catalog import Catalog
from dragoman.core.events import Event, Restarted, Started
from dragoman.core.messages import Block, Message, MessagesRequest
from dragoman.core.shaping import ResponseShaping
from dragoman.core.warnings import RequestWarning
from dragoman.runs.run import Run
from dragoman.runs.shaping.shaper import shaped
from dragoman.runs.shaping.warning_line import warning_line, without_warning_lines

SEED = RequestWarning("ignored", "seed", "Claude has no seed.")
RENAMED = RequestWarning("renamed", "messages", "An id was changed.")
LINE = "[dragoman] seed: Claude has no seed.\n\n"
CALL: Block = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
SHOWN = ResponseShaping(warnings_in_text=True)


def conversation(*content: Block) -> list[Message]:
    """Return a conversation that has a response in it."""
    return [Message(role="user", content=[text(LINE)]), Message(role="assistant", content=list(content))]


async def shown(
    events: list[Event],
    shaping: ResponseShaping = SHOWN,
    *,
    warnings: tuple[RequestWarning, ...] = (SEED,),
    **body: object,
) -> list[Block]:
    """Return the content of a response as the client sees it."""

    async def backend(_: RunRequest) -> AsyncGenerator[Event, None]:
        for event in events:
            yield event

    run = Run("local", "claude-opus-5")
    run.set_origin("req_1", "/v1/chat/completions", warnings)
    canonical = cast("MessagesRequest", {"messages": [], **body})
    request = RunRequest("run_1", Catalog().resolve("claude-opus-5").model, canonical)
    async for event in shaped(backend, shaping, run)(request):
        run.on_event(event)
    return run.result().message["content"]


def test_a_line_has_everything_once() -> None:
    """On one line, whatever a detail contains. What changes nothing for a person is not in it."""
    detail = RequestWarning("mapped", "tools", "Two\n lines.")
    assert warning_line([SEED, SEED, RENAMED, detail]) == "[dragoman] seed: Claude has no seed. tools: Two lines.\n\n"
    assert warning_line([RENAMED]) == ""
    assert len(warning_line([RequestWarning("ignored", "x", "y" * 1000)])) < 650


async def test_the_line_is_in_front_of_the_first_text() -> None:
    """Once, and only if there is something to show."""
    thinking: Block = {"type": "thinking", "thinking": "hm", "signature": "s"}
    content = await shown([*script([thinking, text("one"), text("two"), CALL])])
    assert [block.get("text") for block in content] == [None, f"{LINE}one", "two", None]
    assert await shown([*script([text("one")])], warnings=()) == [text("one")]


async def test_the_backends_warnings_are_shown() -> None:
    """They come before the text."""
    assert await shown([Started("api", {}, (SEED,)), *script([text("one")])], warnings=()) == [text(f"{LINE}one")]


async def test_a_response_that_starts_again_has_the_line_again() -> None:
    """The first part of it is void."""
    broken = [*script([text("one")])][:3]
    assert await shown([*broken, Restarted(), *script([text("two")])]) == [text(f"{LINE}two")]


@pytest.mark.parametrize(
    ("blocks", "shaping", "body"),
    [
        ([CALL], SHOWN, {}),
        ([text("{}")], ResponseShaping(warnings_in_text=True, for_program=True), {}),
        ([text("{}")], SHOWN, {"output_config": {"format": {"type": "json_schema"}}}),
        ([text("{}")], SHOWN, {"output_format": {"type": "json_schema"}}),
        ([text("a")], ResponseShaping(), {}),
    ],
)
async def test_where_no_line_belongs(blocks: list[Block], shaping: ResponseShaping, body: dict[str, Any]) -> None:
    """Not in calls, not in text that programs parse, and not unless the operator wants it."""
    assert await shown([*script(blocks)], shaping, **body) == blocks


def test_lines_are_removed_from_the_conversation() -> None:
    """From the start of Claude's texts only. A text that was nothing else is removed."""
    assert without_warning_lines(conversation(text(f"{LINE}one"), text(LINE), CALL)) == conversation(
        text("one"), text(LINE), CALL
    )
    assert without_warning_lines(conversation(text(LINE.strip()), CALL)) == conversation(CALL)
    unchanged = conversation(text(f"See: {LINE}"), CALL)
    assert without_warning_lines(unchanged) == unchanged


async def test_claude_never_sees_a_line() -> None:
    """Also not the text of a response that continues."""
    received: list[RunRequest] = []

    async def backend(request: RunRequest) -> AsyncGenerator[Event, None]:
        received.append(request)
        for event in script([text("two")]):
            yield event

    run = Run("local", "claude-opus-5")
    for event in script([text(f"{LINE}one")]):
        run.on_event(event)
    body = cast("MessagesRequest", {"messages": conversation(text(f"{LINE}one"))})
    request = RunRequest("run_1", Catalog().resolve("claude-opus-5").model, body)
    events = [event async for event in shaped(backend, SHOWN, run)(request)]
    assert received[0].body["messages"] == conversation(text("one"))
    assert accumulate(events).message["content"] == [text("two")]
