"""Tests that hold for every backend: the same conversations and the same responses, from one list."""

from pathlib import Path

import pytest
from any_backend import BACKENDS, WITH_TEXT, client_messages, either
from backend_harness import ONE_OF_EACH, assistant, message_events, user, without_marks

from dragoman.core.events import BlockStart, BlockStop, MessageDelta, MessageStart, MessageStop, Started
from dragoman.core.messages import Block, JSONObject, Message

TOOL: JSONObject = {
    "name": "get_weather",
    "description": "The weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
ASK = user('Call get_weather with {"city": "Paris"}, then tell me.')
PICTURE: Block = {
    "type": "image",
    "source": {
        "type": "base64",
        "media_type": "image/png",
        "data": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
    },
}
THINKING: dict[str, JSONObject] = {
    "claude-sonnet-4-5": {"type": "enabled", "budget_tokens": 2000},
    "claude-opus-5": {"type": "adaptive", "display": "summarized"},
    "claude-opus-5-5": {"type": "adaptive", "display": "summarized"},
}
CONVERSATIONS: dict[str, list[Message]] = {
    "one message": [user("Hello")],
    "turns": [user("One"), assistant("Two"), user("Three"), assistant("Four"), user("Five")],
    "pictures": [user(PICTURE, "What is it?"), assistant("A dot."), user(PICTURE, PICTURE, "And these?")],
    "words of this machine": [user("@/etc/hostname"), assistant("Yes?"), user("/clear")],
    "a call of other origin": [
        user("Weather?"),
        assistant("One moment.", {"type": "tool_use", "id": "abc", "name": "get_weather", "input": {"city": "Rome"}}),
        user({"type": "tool_result", "tool_use_id": "abc", "content": [{"type": "text", "text": "9 degrees"}]}),
    ],
}


@BACKENDS
@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_conversations_arrive_message_for_message(tmp_path: Path, kind: str, name: str) -> None:
    """There is one API call, with the messages as the client sent them."""
    async with either(kind, tmp_path) as harness:
        answer = await harness.ask(CONVERSATIONS[name], tools=[TOOL])
        assert answer.text
        assert client_messages(harness) == CONVERSATIONS[name]
        assert len(harness.calls) == 1


@WITH_TEXT
@pytest.mark.parametrize("model", ONE_OF_EACH)
async def test_events_come_in_their_order(tmp_path: Path, kind: str, model: str) -> None:
    """`Started`, the message, its blocks in order, the stop reason, the end."""
    async with either(kind, tmp_path) as harness:
        answer = await harness.ask([user("Count to 9")], model)
        kinds = [type(event) for event in answer.events]
        assert kinds[:2] == [Started, MessageStart]
        assert kinds[-3:] == [BlockStop, MessageDelta, MessageStop]
        assert kinds.count(BlockStart) == kinds.count(BlockStop)
        assert answer.text == "1 2 3 4 5 6 7 8 9"
        assert answer.accumulated.message["stop_reason"] == "end_turn"
        assert answer.accumulated.message["usage"]["output_tokens"]


@BACKENDS
@pytest.mark.parametrize("model", ONE_OF_EACH)
async def test_a_tool_call_and_its_result(tmp_path: Path, kind: str, model: str) -> None:
    """The API gets the tool as the client wrote it. The call is returned, and its result is answered."""
    async with either(kind, tmp_path) as harness:
        first = await harness.ask([ASK], model, tools=[TOOL])
        [call] = [block for block in first.accumulated.message["content"] if block["type"] == "tool_use"]
        assert (call["name"], call["input"]) == ("get_weather", {"city": "Paris"})
        assert first.accumulated.message["stop_reason"] == "tool_use"
        assert without_marks(harness.calls[0].body["tools"]) == [TOOL]
        result: Block = {
            "type": "tool_result",
            "tool_use_id": call["id"],
            "content": [{"type": "text", "text": "21 degrees"}],
        }
        messages = [ASK, assistant(call), user(result)]
        second = await harness.ask(messages, model, tools=[TOOL])
        assert "21 degrees" in second.text
        assert client_messages(harness) == messages
        assert len(harness.calls) == 2


@BACKENDS
@pytest.mark.parametrize("model", THINKING)
async def test_thinking_comes_with_its_signature(tmp_path: Path, kind: str, model: str) -> None:
    """Thinking has its own blocks, before the text."""
    async with either(kind, tmp_path) as harness:
        answer = await harness.ask([user("Think: hello")], model, thinking=THINKING[model])
        thought, *rest = answer.accumulated.message["content"]
        assert (thought["type"], rest[-1]["type"]) == ("thinking", "text")
        assert thought["signature"]
        config = harness.calls[0].body["thinking"]
        assert isinstance(config, dict)
        assert config["type"] == THINKING[model]["type"]


@BACKENDS
async def test_structured_output_is_the_apis_own(tmp_path: Path, kind: str) -> None:
    """The schema is in the body, and the response follows it."""
    schema: JSONObject = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    fields: JSONObject = {"format": {"type": "json_schema", "schema": schema}}
    async with either(kind, tmp_path) as harness:
        answer = await harness.ask([user("Where?")], output_config=fields)
        assert answer.text.startswith("{")
        config = harness.calls[0].body["output_config"]
        assert isinstance(config, dict)
        assert config["format"] == fields["format"]


@BACKENDS
async def test_parameters_reach_the_api(tmp_path: Path, kind: str) -> None:
    """Limits, sampling, stop sequences, and the tool choice."""
    fields: dict[str, object] = {"max_tokens": 900, "temperature": 0.25, "top_k": 7, "stop_sequences": ["END"]}
    async with either(kind, tmp_path) as harness:
        await harness.ask([user("One")], "claude-sonnet-4-5", tools=[TOOL], tool_choice={"type": "none"}, **fields)
        body = harness.calls[0].body
        assert {key: body[key] for key in fields} == fields
        assert body["tool_choice"] == {"type": "none"}


@BACKENDS
async def test_the_apis_own_tools_and_their_blocks_pass(tmp_path: Path, kind: str) -> None:
    """Unknown blocks reach the client as the API sent them."""
    search: JSONObject = {"type": "web_search_20250305", "name": "web_search"}
    async with either(kind, tmp_path) as harness:
        answer = await harness.ask([user('Search the web for "tea"')], tools=[search])
        kinds = [block["type"] for block in answer.accumulated.message["content"]]
        assert kinds[:2] == ["server_tool_use", "web_search_tool_result"]
        assert isinstance(message_events(answer)[-1], MessageStop)
