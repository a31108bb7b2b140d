"""Rules that hold for any input and any message of the model."""

import json
from typing import Any, cast

from chat_support import IDENTITY, PNG, script
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from responses_spec import assert_event, assert_response
from responses_support import PATCH, WEATHER, call, decode, dialect, parse_events, raw, result, streamed, user

from dragoman.core.accumulate import accumulate
from dragoman.core.catalog import MODELS
from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSON, JSONObject
from dragoman.simulator.request import ApiRequest
from dragoman.simulator.rules.table import check

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
parts: SearchStrategy[JSON] = st.one_of(
    texts.map(lambda t: {"type": "input_text", "text": t}),
    st.just({"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}),
    st.just({"type": "input_file", "file_data": "aGk=", "filename": "a.txt"}),
)
users = st.lists(parts, max_size=3).map(lambda many: [user(*many)])
others = st.builds(
    lambda role, t: [{"role": role, "content": t}], st.sampled_from(["system", "developer", "assistant"]), texts
)
ids = st.lists(st.sampled_from(["a", "b", "call:3", "ü"]), min_size=1, max_size=3, unique=True)


@st.composite
def tool_turns(draw: st.DrawFn) -> list[JSON]:
    """Calls and their results in any order, with optional reasoning before and instructions between."""
    call_ids = draw(ids)
    before: list[JSON] = draw(st.sampled_from([[], [{"type": "reasoning", "id": "rs_1", "summary": []}]]))
    between: list[JSON] = draw(st.sampled_from([[], [{"role": "developer", "content": "Continue."}]]))
    return [*before, *map(call, call_ids), *between, *map(result, draw(st.permutations(call_ids)))]


inputs: SearchStrategy[list[JSON]] = st.lists(st.one_of(users, others, tool_turns()), min_size=1, max_size=6).map(
    lambda turns: [item for turn in turns for item in cast("list[JSON]", turn)]
)
fields: SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "instructions": texts,
        "temperature": st.floats(0, 2),
        "max_output_tokens": st.integers(1, 200_000),
        "reasoning": st.fixed_dictionaries(
            {"effort": st.sampled_from(["none", "minimal", "low", "high", "max"])},
            optional={"summary": st.just("auto")},
        ),
        "tools": st.just([WEATHER, PATCH]),
        "parallel_tool_calls": st.booleans(),
        "text": st.just({"format": {"type": "json_object"}}),
    },
)


@given(inputs, fields, st.sampled_from(MODELS))
def test_any_input_becomes_a_body_that_the_api_accepts(items: list[JSON], given_: dict[str, Any], model: Any) -> None:
    """Or is refused by name: an empty input, or a prefill that the model does not support."""
    try:
        request = dialect().decode(raw(items, model=model.id, **given_))
    except InvalidRequest as error:
        assert error.code in {"empty_messages", "unsupported_prefill"}  # noqa: PT017 - most inputs are fine
        return
    body = cast("JSONObject", {"max_tokens": 32_000, **request.body})
    if body.get("thinking", {}).get("type") == "enabled":  # type: ignore[union-attr]
        body["thinking"] = {"type": "disabled"}  # whether what it needs was kept is known only when it runs
    check(ApiRequest(body, request.resolved.model, {"anthropic-version": "2023-06-01"}, "key"))


DETAILED = decode(
    stream=True,
    tools=[WEATHER, PATCH],
    reasoning={"effort": "low", "summary": "auto"},
    include=["reasoning.encrypted_content"],
)
BASIC = decode(stream=True, tools=[WEATHER, PATCH])
citation: JSONObject = {"type": "web_search_result_location", "url": "https://a.test/", "title": "A"}
blocks: SearchStrategy[JSONObject] = st.one_of(
    texts.map(lambda t: {"type": "text", "text": t}),
    texts.map(lambda t: {"type": "text", "text": t, "citations": [citation]}),
    texts.map(lambda t: {"type": "thinking", "thinking": t, "signature": "s"}),
    st.just({"type": "redacted_thinking", "data": "x"}),
    st.builds(
        lambda name, given: {"type": "tool_use", "id": "t", "name": name, "input": given},
        st.sampled_from(["get_weather", "apply_patch"]),
        st.dictionaries(st.sampled_from(["input", "city"]), texts | st.integers(-5, 5), max_size=2),
    ),
    st.just({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}),
    st.just({"type": "web_search_tool_result", "tool_use_id": "s", "content": []}),
    st.just({"type": "hologram"}),
)


@settings(max_examples=60)  # the descriptions are large
@given(
    st.lists(blocks, max_size=5),
    st.sampled_from(["end_turn", "tool_use", "max_tokens", "refusal"]),
    st.integers(1, 7),
    st.sampled_from([DETAILED, BASIC]),
)
def test_streamed_items_are_those_of_the_plain_response(
    content: list[JSONObject], stop_reason: str, piece: int, request: Any
) -> None:
    """For any mix of blocks, and text in pieces of any size; all events are valid."""
    events = script(content, stop_reason, piece)
    response = json.loads(dialect().encode(request, IDENTITY, [accumulate(events)]))
    events_sent = parse_events(streamed(request, events))
    assert_response(response)
    for event in events_sent:
        assert_event(event)
    assert events_sent[-1]["response"] == response
    assert _assembled(events_sent) == response["output"]


def _assembled(events: list[Any]) -> list[Any]:
    """Return the output as a client assembles it; check that the pieces match the final item."""
    items: list[Any] = []
    for event in events:
        kind = event["type"].removeprefix("response.")
        if kind == "output_item.added":
            assert event["output_index"] == len(items)
            items.append(event["item"])
        elif kind == "output_item.done":
            items[event["output_index"]] = _completed(items[event["output_index"]], event["item"])
        elif "item_id" in event:
            assert items[event["output_index"]]["id"] == event["item_id"]
            _apply(items[event["output_index"]], kind, event)
    return items


def _apply(item: Any, kind: str, event: Any) -> None:
    if kind in ("content_part.added", "reasoning_summary_part.added"):
        item.setdefault("content" if kind.startswith("content") else "summary", []).append(event["part"])
    elif kind == "output_text.annotation.added":
        item["content"][event["content_index"]]["annotations"].append(event["annotation"])
    elif kind.endswith(".delta"):
        target, key = _target(item, kind, event)
        target[key] = target.get(key, "") + event["delta"]
    elif kind in ("content_part.done", "reasoning_summary_part.done"):
        assert event["part"] == (item["content"] if kind.startswith("content") else item["summary"])[-1]


def _target(item: Any, kind: str, event: Any) -> tuple[Any, str]:
    if kind.startswith("output_text"):
        return item["content"][event["content_index"]], "text"
    if kind.startswith("refusal"):
        return item["content"][event["content_index"]], "refusal"
    if kind.startswith("reasoning"):
        return item["summary"][event["summary_index"]], "text"
    return item, "arguments" if kind.startswith("function") else "input"


def _completed(item: Any, done: Any) -> Any:
    """Return the final item; check that it matches the assembled one in all fields known before the end."""
    late = ("status", "encrypted_content", "action")
    assert {key: value for key, value in item.items() if key not in late} == {
        key: value for key, value in done.items() if key not in late
    }
    return done
