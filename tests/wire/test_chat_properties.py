"""Whatever a client sends and the model says: rules that always hold."""

import json
from itertools import pairwise
from typing import Any, cast

from chat_support import (
    IDENTITY,
    PNG,
    WEATHER,
    chunks,
    codec,
    raw,
    script,
    streamed,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from dragoman.catalog import MODELS
from dragoman.errors import InvalidRequest, UnsupportedFeature
from dragoman.fold import fold
from dragoman.messages import JSON, JSONObject, MessagesRequest
from dragoman.runs.thinking import settled
from dragoman.simulator.call import Call
from dragoman.simulator.rules import check
from dragoman.wire.openai_chat import ChatRequest

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
names = st.sampled_from(["get_weather", "get_time"])
calls: SearchStrategy[JSONObject] = st.builds(
    lambda id_, name, arguments: {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}},
    st.sampled_from(["c1", "c2", "call:3", "ü"]),
    names,
    st.sampled_from(["", "{}", '{"city":"Paris"}']),
)
parts: SearchStrategy[JSON] = st.one_of(
    st.builds(lambda t: {"type": "text", "text": t}, texts),
    st.just({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}),
    st.just({"type": "file", "file": {"file_data": "aGk=", "filename": "a.txt"}}),
)
contents: SearchStrategy[JSON] = st.one_of(texts, st.lists(parts, max_size=3))
instructions = st.builds(
    lambda role, t: [{"role": role, "content": t}], st.sampled_from(["system", "developer"]), texts
)
users = st.builds(lambda c: [{"role": "user", "content": c}], contents)
answers = st.builds(lambda c: [{"role": "assistant", "content": c}], st.none() | texts)


@st.composite
def tool_turns(draw: st.DrawFn) -> list[JSON]:
    """A message with calls, and their results in any order, perhaps with instructions between."""
    made = draw(st.lists(calls, min_size=1, max_size=3, unique_by=lambda call: str(call["id"])))
    results: list[JSON] = [
        {"role": "tool", "tool_call_id": call["id"], "content": draw(contents)} for call in draw(st.permutations(made))
    ]
    if draw(st.booleans()):
        results.insert(1, {"role": "system", "content": draw(texts)})
    return [{"role": "assistant", "content": draw(st.none() | texts), "tool_calls": [*made]}, *results]


chats: SearchStrategy[list[JSON]] = st.lists(
    st.one_of(instructions, users, answers, tool_turns()), min_size=1, max_size=7
).map(lambda turns: [message for turn in turns for message in turn])

fields: SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "max_tokens": st.integers(1, 200_000),
        "stop": texts | st.lists(texts, max_size=4),
        "reasoning_effort": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
        "tools": st.just([WEATHER]),
        "parallel_tool_calls": st.booleans(),
        "response_format": st.just({"type": "json_object"}),
    },
)


@given(chats, fields, st.sampled_from(MODELS), st.sampled_from([None, "auto", "none", "required"]))
def test_any_chat_becomes_a_body_that_the_api_takes(
    messages: list[JSON], given_fields: dict[str, Any], model: Any, choice: str | None
) -> None:
    """Or is refused by name: an empty chat, or a prefill where there is none."""
    if choice and "tools" in given_fields:
        given_fields["tool_choice"] = choice
    try:
        request = codec().decode(raw(messages, model=model.id, **given_fields))
    except (InvalidRequest, UnsupportedFeature) as error:
        assert error.code in {"empty_messages", "unsupported_prefill"}  # noqa: PT017 - most chats are fine
        return
    _assert_turns(request.body)
    _assert_rules(request)
    # The scripted API knows every refusal of the real one; the backend's part is only to choose a limit.
    body = cast("JSONObject", {"max_tokens": 32_000, **settled(request.body).body})
    check(Call(body, request.resolved.model, {"anthropic-version": "2023-06-01"}, "key"))
    assert json.loads(json.dumps(request.body)) == request.body


def _assert_turns(body: MessagesRequest) -> None:
    turns = body["messages"]
    assert turns[0]["role"] == "user"
    assert all(one["role"] != two["role"] for one, two in pairwise(turns))
    owed: set[JSON] = set()
    seen: set[JSON] = set()
    for turn in turns:
        assert turn["content"]
        settled = {block["tool_use_id"] for block in turn["content"] if block["type"] == "tool_result"}
        assert settled == owed
        kinds = [block["type"] == "tool_result" for block in turn["content"]]
        assert kinds == sorted(kinds, reverse=True), "results come first"
        made = [block["id"] for block in turn["content"] if block["type"] == "tool_use"]
        owed = set(made)
        assert not owed & seen
        assert len(made) == len(owed)
        seen |= owed
    assert not owed
    assert all(block["text"].strip() for block in _texts([*turns, {"content": body.get("system", [])}]))
    assert not seen or body["tools"]


def _texts(part: Any) -> list[Any]:
    if isinstance(part, list):
        return [found for one in part for found in _texts(one)]
    if not isinstance(part, dict):
        return []
    return [part] if part.get("type") == "text" and "text" in part else _texts(part.get("content"))


def _assert_rules(request: ChatRequest) -> None:
    model, body = request.resolved.model, request.body
    turns = body["messages"]
    assert model.prefill or turns[-1]["role"] != "assistant"
    assert model.system_messages or all(turn["role"] != "system" for turn in turns)
    assert model.forced_tools or body.get("tool_choice", {}).get("type") not in ("any", "tool")
    assert model.sampling or not {"temperature", "top_p", "top_k"} & body.keys()
    assert not {"temperature", "top_p"} <= body.keys()
    assert body.get("temperature", 0) <= 1
    assert body.get("max_tokens", 1) <= model.output_tokens
    assert all(sequence.strip() for sequence in body.get("stop_sequences", []))
    if body.get("thinking", {}).get("type") == "enabled":
        assert body["thinking"]["budget_tokens"] < body.get("max_tokens", 32_000)
        assert body.get("tool_choice", {}).get("type") not in ("any", "tool")
        assert body.get("temperature", 1) == 1


blocks: SearchStrategy[JSONObject] = st.one_of(
    st.builds(lambda t: {"type": "text", "text": t}, texts),
    st.builds(lambda t: {"type": "thinking", "thinking": t, "signature": "s"}, texts),
    st.just({"type": "redacted_thinking", "data": "x"}),
    st.builds(
        lambda name, given: {"type": "tool_use", "id": "t", "name": name, "input": given},
        names,
        st.dictionaries(texts, texts | st.integers(-5, 5), max_size=2),
    ),
    st.just({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}),
)


@given(
    st.lists(blocks, max_size=5),
    st.sampled_from(["end_turn", "tool_use", "max_tokens", "refusal"]),
    st.integers(1, 7),
    st.booleans(),
)
def test_the_chunks_put_together_are_the_plain_answer(
    said: list[JSONObject],
    stop_reason: str,
    piece: int,
    legacy: bool,  # noqa: FBT001 - drawn
) -> None:
    """Message, reason and usage, in any mix of blocks and however the text is cut."""
    functions: dict[str, Any] = {"functions": [{"name": "get_weather"}]} if legacy else {}
    request = codec().decode(raw(stream=True, stream_options={"include_usage": True}, **functions))
    events = script(said, stop_reason, piece)
    whole = json.loads(codec().encode(request, IDENTITY, [fold(events)]))
    found = chunks(streamed(request, events))
    message: dict[str, Any] = {"content": None, "refusal": None, "annotations": []}
    for chunk in found[:-1]:
        _merge(message, chunk["choices"][0]["delta"])
    assert message == whole["choices"][0]["message"]
    assert found[-2]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert found[-1]["usage"] == whole["usage"]


def _merge(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for key, value in delta.items():
        if key == "role":
            message[key] = value
        elif isinstance(value, str):
            message[key] = (message.get(key) or "") + value
        elif key == "tool_calls":
            for entry in value:
                index = entry.pop("index")
                known = message.setdefault(key, [])
                if index == len(known):
                    known.append(entry)
                else:
                    _merge(known[index]["function"], entry["function"])
        elif isinstance(value, list):
            message.setdefault(key, []).extend(value)
        elif isinstance(value, dict):
            _merge(message.setdefault(key, {}), value)
