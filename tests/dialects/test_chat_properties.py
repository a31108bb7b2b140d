"""Properties that hold for any chat request and any response."""

import json
from itertools import pairwise
from typing import Any, cast

from chat_strategies import blocks, chats, fields, tool_fields
from chat_support import IDENTITY, chunks, dialect, raw, script, streamed
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from dragoman.core.accumulate import accumulate
from dragoman.core.catalog import MODELS, Model
from dragoman.core.errors import InvalidRequest, UnsupportedFeature
from dragoman.core.messages import JSON, JSONObject, MessagesRequest
from dragoman.dialects.chat.request import ChatRequest
from dragoman.runs.reasoning_store import without_orphan_thinking
from dragoman.simulator.request import ApiRequest
from dragoman.simulator.rules.table import check


@settings(max_examples=400)
@given(chats, fields, tool_fields(), st.sampled_from(MODELS))
def test_any_chat_becomes_a_body_that_the_api_accepts(
    messages: list[JSON], given_fields: dict[str, Any], tools: dict[str, Any], model: Model
) -> None:
    """Or is refused by name: an empty chat, or a last assistant message that cannot be continued."""
    messages = _without_bound_thinking(messages) if model.bound_thinking else messages
    try:
        request = dialect().decode(raw(messages, model=model.id, **given_fields, **tools))
    except (InvalidRequest, UnsupportedFeature) as error:
        _assert_refused(error, messages, given_fields)
        return
    _assert_turns(request.body)
    _assert_rules(request)
    # The scripted API knows every refusal of the real one; the backend's part is only to choose a limit.
    body = cast("JSONObject", {"max_tokens": 32_000, **without_orphan_thinking(request.body).body})
    check(ApiRequest(body, request.resolved.model, {"anthropic-version": "2023-06-01"}, "key"))
    assert json.loads(json.dumps(request.body)) == request.body
    assert request.choices == given_fields.get("n", 1)


def _without_bound_thinking(messages: list[JSON]) -> list[JSON]:
    """Remove signed thinking of other conversations: there, the client itself sends what the model refuses."""
    return [{k: v for k, v in cast("JSONObject", one).items() if k != "reasoning_details"} for one in messages]


def _assert_refused(error: InvalidRequest, messages: list[JSON], given_fields: dict[str, Any]) -> None:
    assert error.code in {"empty_messages", "unsupported_prefill", "invalid_value"}
    if error.code == "invalid_value":
        assert error.param == "response_format"
        assert given_fields["response_format"]["type"] == "json_schema"
    if error.code != "empty_messages":
        assert next(role for role, has_content in reversed([*map(_role, messages)]) if has_content) == "assistant"


def _role(message: Any) -> tuple[str, bool]:
    """Return the role of a message, and whether it has content. Thinking alone counts for the assistant."""
    content = message.get("content") or ""
    words = content if isinstance(content, str) else "".join(part.get("text", part["type"]) for part in content)
    return message["role"], bool(words.strip()) or message["role"] == "assistant"


def _assert_turns(body: MessagesRequest) -> None:
    turns = body["messages"]
    assert turns[0]["role"] == "user"
    assert all(one["role"] != two["role"] for one, two in pairwise(turns))
    pending: set[JSON] = set()
    seen: set[JSON] = set()
    for turn in turns:
        assert turn["content"]
        results = {block["tool_use_id"] for block in turn["content"] if block["type"] == "tool_result"}
        assert results == pending
        kinds = [block["type"] == "tool_result" for block in turn["content"]]
        assert kinds == sorted(kinds, reverse=True), "results come first"
        call_ids = [block["id"] for block in turn["content"] if block["type"] == "tool_use"]
        pending = set(call_ids)
        assert not pending & seen
        assert len(call_ids) == len(pending)
        seen |= pending
    assert not pending
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


scripted = st.tuples(
    st.lists(blocks, max_size=5),
    st.sampled_from(["end_turn", "tool_use", "max_tokens", "refusal", "stop_sequence"]),
    st.integers(1, 7),
)
shapes: SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {"functions": [{"name": "get_weather"}]}, {"response_format": {"type": "json_object"}}]
)


@given(st.lists(scripted, min_size=1, max_size=3), shapes)
def test_the_joined_chunks_equal_the_plain_response(responses: list[Any], shape: dict[str, Any]) -> None:
    """Messages, reasons and usage, for any mix of blocks, choices and cuts; or both are invalid."""
    fields_ = {"stream": True, "stream_options": {"include_usage": True}, "n": len(responses), **shape}
    request = dialect().decode(raw(**fields_))
    runs = [script(*one) for one in responses]
    accumulated = [accumulate(events) for events in runs]
    found = chunks(streamed(request, *runs))
    if errors := dialect().invalid_choices(request, accumulated):
        assert found[-1]["error"]["code"] in {error.code for error in errors.values()}
        return
    plain = json.loads(dialect().encode(request, IDENTITY, accumulated))
    assert [_joined(found[:-1], index) for index in range(len(responses))] == plain["choices"]
    assert (found[-1]["choices"], found[-1]["usage"]) == ([], plain["usage"])


def _joined(found: list[Any], index: int) -> dict[str, Any]:
    message: dict[str, Any] = {"content": None, "refusal": None, "annotations": []}
    own = [one for chunk in found for one in chunk["choices"] if one["index"] == index]
    for one in own:
        _merge(message, one["delta"])
    for annotation in message["annotations"]:
        del annotation["index"]  # OpenAI's own client wants one in a stream
    reasons = [one["finish_reason"] for one in own if one["finish_reason"]]
    assert len(reasons) == 1
    return {"index": index, "message": message, "logprobs": None, "finish_reason": reasons[0]}


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
