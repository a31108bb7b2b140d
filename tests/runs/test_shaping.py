"""Responses that the gateway changes on their way: JSON without a fence, stop texts, names of arguments."""

import json
from collections.abc import AsyncGenerator, Sequence
from typing import cast

import pytest
from chat_support import script, text
from hypothesis import given
from hypothesis import strategies as st

from dragoman.backends.base import RunRequest
from dragoman.core.accumulate import AccumulatedMessage, accumulate
from dragoman.core.catalog import Catalog
from dragoman.core.events import BlockDelta, Event
from dragoman.core.messages import Block, JSONObject, MessagesRequest
from dragoman.core.shaping import NO_SHAPING, ResponseShaping
from dragoman.runs.run import Run
from dragoman.runs.shaping.json_text import JsonText
from dragoman.runs.shaping.shaper import Shaper, shaped
from dragoman.runs.shaping.stop_text import StopText

NAMES = {"search": {"filter_id_": "filter[id]"}}
MODEL = "claude-sonnet-4-5"


def pieces_of(value: str, size: int) -> list[str]:
    """Cut a text into pieces."""
    return [value[start : start + size] for start in range(0, len(value), size)]


def json_of(value: str, size: int = 1, *, is_object: bool = True) -> str:
    """Return what is left of a text."""
    reader = JsonText(is_object=is_object)
    return "".join([reader.add(piece) for piece in pieces_of(value, size)]) + reader.finish()


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ('```json\n{"a": "}```"}\n```', '{"a": "}```"}'),
        ('\n```\n{"a": [1, {}]}\n```\n', '{"a": [1, {}]}'),
        ('```json {"a": "\\"}"}```', '{"a": "\\"}"}'),
        ('Here it is:\n\n```json\n{"a": 1}\n```\nAnything else?', '{"a": 1}'),
        ('```json\n{"a": 1', '{"a": 1'),
        ('{"a": "```json\\n{}"}', '{"a": "```json\\n{}"}'),
        (' {"a": 1} and more', ' {"a": 1} and more'),
        ("I cannot do that.", "I cannot do that."),
        ("```python\nprint()\n```", "```python\nprint()\n```"),
        ("`` or {}", "`` or {}"),
        ("", ""),
    ],
)
def test_a_fence_is_removed(given_text: str, expected: str, size: int) -> None:
    """However the text is cut into pieces. A text without a fence around JSON stays."""
    assert json_of(given_text, size) == expected


@pytest.mark.parametrize("size", [1, 1000])
def test_words_stay_where_the_json_may_be_no_object(size: int) -> None:
    """The client gets the mismatch. A fence alone is removed."""
    with_words = "Here:\n```json\n[1]\n```"
    assert json_of(with_words, size, is_object=False) == with_words
    assert json_of("```json\n[1]\n```", size, is_object=False) == "[1]"
    assert json_of("```json\n[1]\n```\nDone.", size, is_object=False) == "[1]\n```\nDone."
    assert json_of('"text"', size, is_object=False) == '"text"'


_json_objects = st.dictionaries(st.text(max_size=3), st.recursive(st.text(), st.lists, max_leaves=4), max_size=3)


@given(
    _json_objects,
    st.integers(1, 9),
    st.sampled_from(["{}", "```json\n{}\n```", "```\n{}```", "Yes:\n```json\n{}\n```"]),
)
def test_any_object_survives(value: JSONObject, size: int, form: str) -> None:
    """With or without a fence, the client gets the object as the model wrote it."""
    for written in (json.dumps(value), json.dumps(value, indent=2, ensure_ascii=False)):
        assert json_of(form.replace("{}", written), size) == written


def test_json_comes_as_it_is_written() -> None:
    """Nothing inside of the fence is held back."""
    reader = JsonText(is_object=True)
    assert [reader.add(piece) for piece in ("```js", 'on\n{"a"', ":", " 1", "}\n``", "`")] == [
        "",
        '{"a"',
        ":",
        " 1",
        "}",
        "",
    ]


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize(
    ("stops", "value", "expected", "found"),
    [
        (["\n"], "one\ntwo", "one", "\n"),
        (["\n\n"], "one\ntwo\n\nthree", "one\ntwo", "\n\n"),
        (["\n\n\n", "\t"], "one\n\ntwo\tthree", "one\n\ntwo", "\t"),
        (["\n"], "\none", "", "\n"),
        (["\n\n"], "one\n", "one\n", None),
    ],
)
def test_stop_texts(stops: Sequence[str], value: str, expected: str, found: str | None, size: int) -> None:
    """The text ends before the first of them, however it is cut into pieces."""
    stop = StopText(stops)
    read = ""
    for piece in pieces_of(value, size):
        if stop.found is None:
            read += stop.add(piece)
    assert (read + ("" if stop.found else stop.finish()), stop.found) == (expected, found)


def shape(events: Sequence[Event], shaping: ResponseShaping) -> AccumulatedMessage:
    """Return the changed message."""
    shaper = Shaper(shaping)
    changed: list[Event] = []
    for event in events:
        if not shaper.ended:
            changed += shaper.feed(event)
    return accumulate(changed)


def test_a_stop_text_ends_the_message() -> None:
    """With the stop reason of a stop sequence, and an estimate of what was generated."""
    message = shape(script([text("one\ntwo"), text("three")]), ResponseShaping(stop=("\n",))).message
    assert message["content"] == [text("one")]
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "\n")
    assert message["usage"]["output_tokens"] == 2


def test_what_is_held_back_comes_at_the_end_of_its_block() -> None:
    """Half of a stop text at the end of a block is text."""
    message = shape(script([text("one\n"), text("\ntwo")]), ResponseShaping(stop=("\n\n",))).message
    assert message["content"] == [text("one\n"), text("\ntwo")]


def test_arguments_get_the_clients_names() -> None:
    """In one piece. Other tools and cut arguments are left as they are."""
    call: Block = {"type": "tool_use", "id": "toolu_1", "name": "search", "input": {"filter_id_": "x", "limit": 1}}
    other: Block = {**call, "id": "toolu_2", "name": "find"}
    shaped_message = shape(script([text("Wait."), call, other]), ResponseShaping(property_names=NAMES))
    first, second, third = shaped_message.message["content"]
    assert (first, second["input"]) == (text("Wait."), {"filter[id]": "x", "limit": 1})
    assert third["input"] == {"filter_id_": "x", "limit": 1}


async def test_a_conversation_gets_the_names_that_claude_sees() -> None:
    """The client sends its own names back. The request that the caller holds is not changed."""
    call: JSONObject = {"type": "tool_use", "id": "toolu_1", "name": "search", "input": {"filter[id]": "x"}}
    messages: list[JSONObject] = [{"role": "user", "content": []}, {"role": "assistant", "content": [text("a"), call]}]
    body = cast("MessagesRequest", {"model": MODEL, "messages": messages})
    received: list[RunRequest] = []

    async def backend(request: RunRequest) -> AsyncGenerator[Event, None]:
        received.append(request)
        for event in script([text("b")]):
            yield event

    request = RunRequest("run_1", Catalog().resolve(MODEL).model, body)
    events = shaped(backend, ResponseShaping(property_names=NAMES), Run("local", MODEL))(request)
    assert accumulate([event async for event in events]).message["content"] == [text("b")]
    [sent] = received
    assert sent.body["messages"][1]["content"] == [text("a"), {**call, "input": {"filter_id_": "x"}}]
    assert cast("JSONObject", call["input"]) == {"filter[id]": "x"}


@pytest.mark.parametrize(
    ("shaping", "expected", "warns"),
    [
        (ResponseShaping(stop=("wo",)), "one t", False),
        (ResponseShaping(json_only=True, json_object=True, json_param="response_format"), '{"a": 1}', True),
    ],
)
async def test_a_backend_in_a_run(shaping: ResponseShaping, expected: str, *, warns: bool) -> None:
    """Its generator is closed at a stop text, which ends the call. Words that were removed are reported."""
    closed = False

    async def backend(_: RunRequest) -> AsyncGenerator[Event, None]:
        nonlocal closed
        try:
            for event in script([text('one two\n```json\n{"a": 1}\n```\nDone.')]):
                yield event
        finally:
            closed = True

    run = Run("local", MODEL)
    request = RunRequest("run_1", Catalog().resolve(MODEL).model, cast("MessagesRequest", {"messages": []}))
    events = [event async for event in shaped(backend, shaping, run)(request)]
    assert closed
    assert accumulate(events).message["content"] == [text(expected)]
    assert [(warning.code, warning.param) for warning in run.warnings] == [("mapped", "response_format")] * warns


async def test_nothing_is_changed_without_a_reason() -> None:
    """Most responses pass without any work."""

    async def backend(_: RunRequest) -> AsyncGenerator[Event, None]:
        yield BlockDelta(0, {})

    assert shaped(backend, NO_SHAPING, Run("local", MODEL)) is backend
