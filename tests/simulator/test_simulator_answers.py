"""Answers follow plain instructions, and are the same each time."""

from typing import Any

import pytest
from simulator_support import Ask, png

WEATHER = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TIME = {"name": "get_time", "input_schema": {"type": "object", "properties": {"hours": {"type": "integer"}}}}


def text_in(answer: Any) -> str:
    """Return the text of a response."""
    return "".join(block["text"] for block in answer["content"] if block["type"] == "text")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello there", "You said: Hello there"),
        ("Please reply with exactly: one two  \nand no more", "one two"),
        ("Count to 5", "1 2 3 4 5"),
        ("Repeat 3 times: na", "na na na"),
        ('Give me a JSON object with "Paris"', '{"value_1":"Paris"}'),
        ("<system-reminder>\nsecret\n</system-reminder>\nHello", "You said: Hello"),
    ],
)
async def test_plain_instructions(ask: Ask, text: str, expected: str) -> None:
    """Texts are answered according to the documented table."""
    answer = await ask(text)
    assert text_in(answer) == expected
    assert answer["stop_reason"] == "end_turn"


async def test_named_tools_are_called_in_order(ask: Ask) -> None:
    """Each tool that the text names with a JSON object is called with that object."""
    answer: Any = await ask('Use get_time {"hours": 2} and get_weather {"city": "Rome"}', tools=[WEATHER, TIME])
    assert [(b["name"], b["input"]) for b in answer["content"]] == [
        ("get_time", {"hours": 2}),
        ("get_weather", {"city": "Rome"}),
    ]
    assert answer["stop_reason"] == "tool_use"
    assert len({b["id"] for b in answer["content"]}) == 2


@pytest.mark.parametrize(
    "text",
    [
        'First call get_time {"hours": 2}, then get_weather {"city": "Rome"}.',
        'Use get_time for 2 hours. After that, use get_weather for "Rome".',
    ],
)
async def test_a_sequence_of_tools_takes_several_turns(ask: Ask, text: str) -> None:
    """One call in each turn, and then the text."""
    messages: list[Any] = [{"role": "user", "content": text}]
    called = []
    for _ in range(2):
        answer: Any = await ask(messages=messages, tools=[WEATHER, TIME])
        [call] = answer["content"]
        called.append((call["name"], call["input"]))
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": call["name"]}
        messages += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    assert called == [("get_time", {"hours": 2}), ("get_weather", {"city": "Rome"})]
    assert text_in(await ask(messages=messages, tools=[WEATHER, TIME])) == "The tool said: get_weather"


async def test_a_patch_tool_gets_a_patch(ask: Ask) -> None:
    """In the form that coding agents apply."""
    schema = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    tools: list[Any] = [{"name": "apply_patch", "input_schema": schema}]
    answer: Any = await ask("Use apply_patch to create hello.py that prints 'hi'.", tools=tools)
    assert answer["content"][0]["input"] == {
        "input": "*** Begin Patch\n*** Add File: hello.py\n+print('hi')\n*** End Patch\n"
    }


async def test_question_calls_the_matching_tool(ask: Ask) -> None:
    """`What is the X` calls `get_X`. Without such a tool, no tool is called."""
    answer: Any = await ask('What is the weather in "Rome"?', tools=[TIME, WEATHER])
    assert [(b["name"], b["input"]) for b in answer["content"]] == [("get_weather", {"city": "Rome"})]
    assert "You said" in text_in(await ask("What is the matter?", tools=[TIME, WEATHER]))


@pytest.mark.parametrize("text", ["Do NOT use get_time here.", "Don't call get_time.", "Never use get_time."])
async def test_tools_that_the_text_rules_out_are_not_called(ask: Ask, text: str) -> None:
    """A text that forbids a tool is no request for a call. Prompts for a summary contain such texts."""
    answer: Any = await ask(text, tools=[TIME])
    assert text_in(answer) == f"You said: {text}"


@pytest.mark.parametrize(
    ("choice", "calls"), [({"type": "auto", "disable_parallel_tool_use": True}, 1), ({"type": "none"}, 0)]
)
async def test_tool_choice_limits_the_calls(ask: Ask, choice: dict[str, Any], calls: int) -> None:
    """Without parallel calls there is one call. With `none` there is no call."""
    answer: Any = await ask(
        'get_time {"hours": 2} get_weather {"city": "Rome"}', tools=[WEATHER, TIME], tool_choice=choice
    )
    assert sum(b["type"] == "tool_use" for b in answer["content"]) == calls


@pytest.mark.parametrize("choice", [{"type": "tool", "name": "get_weather"}, {"type": "any"}])
async def test_forced_tool_gets_its_input_from_the_prompt(ask: Ask, choice: dict[str, Any]) -> None:
    """Quoted strings are used for the schema."""
    answer: Any = await ask('What is it like in "Oslo"?', tools=[WEATHER, TIME], tool_choice=choice)
    assert [(b["name"], b["input"]) for b in answer["content"]] == [("get_weather", {"city": "Oslo"})]


async def test_tool_results_are_quoted(ask: Ask) -> None:
    """All results are quoted in order, unless a newer text asks for something else."""
    calls: list[Any] = [{"type": "tool_use", "id": id_, "name": "get_weather", "input": {}} for id_ in ("a", "b")]
    results: list[Any] = [
        {"type": "tool_result", "tool_use_id": "a", "content": "21 degrees"},
        {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "sunny"}]},
    ]
    start = [{"role": "user", "content": "Look"}, {"role": "assistant", "content": calls}]
    answer = await ask(messages=[*start, {"role": "user", "content": results}], tools=[WEATHER])
    assert text_in(answer) == "The tools said: 21 degrees; sunny"
    newer = [*results, {"type": "text", "text": "Reply with exactly: no"}]
    assert text_in(await ask(messages=[*start, {"role": "user", "content": newer}], tools=[WEATHER])) == "no"


async def test_attachments_are_described(ask: Ask) -> None:
    """Images are described by type and size, documents by type or text."""
    content: list[Any] = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png(8, 6)}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "lorem"}},
        {"type": "text", "text": "See"},
    ]
    answer = await ask(messages=[{"role": "user", "content": content}])
    assert text_in(answer) == "You said: See [image/png 8x6] [image https://example.com/a.png] [text/plain: lorem]"


async def test_web_search(ask: Ask) -> None:
    """The response has the server tool's blocks, a citation and the number of searches."""
    tool = {"type": "web_search_20250305", "name": "web_search"}
    answer: Any = await ask('Please search the web for "blue whales".', tools=[tool])
    kinds = [block["type"] for block in answer["content"]]
    assert kinds == ["server_tool_use", "web_search_tool_result", "text", "text"]
    assert answer["content"][0]["input"] == {"query": "blue whales"}
    assert answer["content"][3]["citations"][0]["type"] == "web_search_result_location"
    assert answer["usage"]["server_tool_use"]["web_search_requests"] == 1


async def test_limits_cut_the_response(ask: Ask) -> None:
    """`max_tokens` and stop sequences cut the response, each with its stop reason."""
    short = await ask("Count to 9", max_tokens=3)
    assert (text_in(short), short["stop_reason"]) == ("1 2 3", "max_tokens")
    assert short["usage"]["output_tokens"] == 3  # type: ignore[index,call-overload]
    stopped = await ask("Count to 9", stop_sequences=["7", " 4"])
    assert (text_in(stopped), stopped["stop_reason"], stopped["stop_sequence"]) == ("1 2 3", "stop_sequence", " 4")


@pytest.mark.parametrize(
    ("model", "thinking", "kinds", "shown"),
    [
        ("claude-sonnet-4-5", {"type": "enabled", "budget_tokens": 1024}, ["thinking", "text"], True),
        ("claude-sonnet-4-5", {"type": "disabled"}, ["text"], False),
        ("claude-opus-5-5", None, ["thinking", "text"], False),
        ("claude-opus-5-5", {"type": "adaptive", "display": "summarized"}, ["thinking", "text"], True),
        ("claude-opus-5-5", {"type": "adaptive", "display": "omitted"}, ["thinking", "text"], False),
        ("claude-sonnet-5", {"type": "adaptive"}, ["thinking", "text"], True),
    ],
)
async def test_thinking_depends_on_model_and_display(
    ask: Ask, model: str, thinking: dict[str, Any] | None, kinds: list[str], *, shown: bool
) -> None:
    """Model and display decide whether there is thinking and whether its text is shown. Its tokens always count."""
    answer: Any = await ask("Hello", model=model, **({"thinking": thinking} if thinking else {}))
    assert [block["type"] for block in answer["content"]] == kinds
    thoughts = answer["content"][0]
    assert bool(thoughts.get("thinking")) is shown
    assert (answer["usage"]["output_tokens_details"]["thinking_tokens"] > 0) is ("thinking" in kinds)


async def test_redacted_thinking(ask: Ask) -> None:
    """A prompt can ask for a `redacted_thinking` block."""
    answer: Any = await ask("Simulate: redacted thinking", model="claude-opus-5-5")
    assert answer["content"][0]["type"] == "redacted_thinking"


async def test_prefill(ask: Ask) -> None:
    """The response follows the user's text, not the prefill."""
    turns = [{"role": "user", "content": "Reply with exactly: B)"}, {"role": "assistant", "content": "The answer is ("}]
    assert text_in(await ask(messages=turns)) == "B)"
