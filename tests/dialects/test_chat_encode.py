"""Encoding of plain chat completions."""

from collections.abc import Sequence

import pytest
from chat_answers import ANSWERS, CITED, CUT, NOW, PARIS, REDACTED, TEXT, THINKING
from chat_support import (
    IDENTITY,
    WEATHER,
    decode,
    dialect,
    only_choice,
    plain,
    script,
    text,
)
from openai_spec import assert_valid

from dragoman.core.accumulate import accumulate
from dragoman.core.messages import JSONObject
from dragoman.dialects.chat.request import ChatRequest

JSON_MODE: JSONObject = {"type": "json_object"}


@pytest.mark.parametrize("case", ANSWERS)
def test_every_response_matches_openais_description(case: str) -> None:
    """For every kind of response."""
    blocks, stop_reason = ANSWERS[case]
    assert_valid("CreateChatCompletionResponse", plain(decode(), accumulate(script(blocks, stop_reason))))


def test_common_fields() -> None:
    """The run's id, the model, and a fingerprint that changes only with the model."""
    body = plain(decode(model="sonnet"), accumulate(script([TEXT])))
    assert body["id"] == "chatcmpl-0123456789abcdef0123456789abcdef"
    assert (body["object"], body["created"], body["model"]) == (
        "chat.completion",
        IDENTITY.created,
        "claude-sonnet-5-5",
    )
    assert body["system_fingerprint"].startswith("fp_")
    assert body["system_fingerprint"] != plain(decode(model="opus"), accumulate(script([TEXT])))["system_fingerprint"]


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("text", "stop"),
        ("stopped", "stop"),
        ("cut", "length"),
        ("window", "length"),
        ("called", "tool_calls"),
        ("call_cut", "length"),
        ("refused", "content_filter"),
        ("of_tomorrow", "stop"),
    ],
)
def test_finish_reasons(case: str, reason: str) -> None:
    """Each stop reason of the API, and an unknown one."""
    assert only_choice(decode(), *ANSWERS[case])["finish_reason"] == reason


def test_a_text_message() -> None:
    """All keys of a message are present, and no others."""
    assert only_choice(decode(), [TEXT]) == {
        "index": 0,
        "message": {"role": "assistant", "content": TEXT["text"], "refusal": None, "annotations": []},
        "logprobs": None,
        "finish_reason": "stop",
    }


def test_no_text_is_null() -> None:
    """As at OpenAI."""
    assert only_choice(decode(), [PARIS], "tool_use")["message"]["content"] is None
    assert only_choice(decode(), [])["message"]["content"] is None


def test_thinking_has_text_and_signatures() -> None:
    """Readable, and with the signatures to send it back."""
    message = only_choice(decode(), [THINKING, REDACTED, TEXT])["message"]
    assert message["reasoning_content"] == "Let me see."
    assert message["reasoning_details"] == [
        {
            "type": "reasoning.text",
            "text": "Let me see.",
            "signature": "sig==",
            "format": "anthropic-claude-v1",
            "index": 0,
        },
        {"type": "reasoning.encrypted", "data": "b64==", "format": "anthropic-claude-v1", "index": 1},
    ]


def test_hidden_thinking_has_details_only() -> None:
    """There is no text to read, but an entry to send back."""
    message = only_choice(decode(), [{**THINKING, "thinking": ""}, TEXT])["message"]
    assert "reasoning_content" not in message
    assert message["reasoning_details"][0]["signature"] == "sig=="


def test_thinking_survives_the_round_trip() -> None:
    """What the client sends back is what the API sent."""
    message = only_choice(decode(), [THINKING, REDACTED, TEXT, PARIS], "tool_use")["message"]
    result: JSONObject = {"role": "tool", "tool_call_id": "toolu_1", "content": "21"}
    turns = decode([{"role": "user", "content": "hi"}, message, result]).body["messages"]
    assert turns[1]["content"] == [THINKING, REDACTED, TEXT, PARIS]


def test_tool_calls() -> None:
    """With the model's own ids, and arguments as it wrote them; no arguments are an empty object."""
    assert only_choice(decode(), [PARIS, NOW], "tool_use")["message"]["tool_calls"] == [
        {
            "id": "toolu_1",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
        },
        {"id": "toolu_2", "type": "function", "function": {"name": "get_time", "arguments": "{}"}},
    ]


def test_cut_arguments_are_unchanged() -> None:
    """The client receives what there is."""
    call = only_choice(decode(), [CUT], "max_tokens")["message"]["tool_calls"][0]
    assert call["function"]["arguments"] == '{"city": "Pa'


def test_legacy_function_calls() -> None:
    """One call, without an id."""
    choice = only_choice(decode(functions=[{"name": "get_weather"}]), [PARIS, NOW], "tool_use")
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    assert "tool_calls" not in choice["message"]


def test_citations_have_positions_in_the_text() -> None:
    """Each page once per passage; other citations are not annotations."""
    message = only_choice(decode(), [text("🦊 So: "), CITED, CITED])["message"]
    assert message["content"] == "🦊 So: It rains.It rains."
    found = [note["url_citation"] for note in message["annotations"]]
    assert [(note["url"], note["title"]) for note in found] == [
        ("https://a.test/", "A"),
        ("https://b.test/", "https://b.test/"),
    ] * 2
    assert [message["content"][note["start_index"] : note["end_index"]] for note in found] == ["It rains."] * 4
    assert (found[0]["start_index"], found[2]["start_index"]) == (6, 15)


def test_a_refusal_is_explained() -> None:
    """With the API's explanation, or our own text if it has none."""
    details: JSONObject = {"type": "refusal", "category": "cyber", "explanation": "This could do harm."}
    message = only_choice(decode(), [TEXT], "refusal", stop_details=details)["message"]
    assert (message["content"], message["refusal"]) == (TEXT["text"], "This could do harm.")
    for nothing in (None, {**details, "explanation": None}):
        assert "declined" in only_choice(decode(), [], "refusal", stop_details=nothing)["message"]["refusal"]


def test_usage() -> None:
    """`prompt_tokens` counts all input; only cache reads are `cached_tokens`."""
    assert plain(decode(), accumulate(script([TEXT])))["usage"] == {
        "prompt_tokens": 30,
        "completion_tokens": 11,
        "total_tokens": 41,
        "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 3, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 4,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def test_usage_is_added_up_over_choices() -> None:
    """Each choice has its index."""
    body = plain(decode(n=2), accumulate(script([text("a")])), accumulate(script([text("b")])))
    assert [(choice["index"], choice["message"]["content"]) for choice in body["choices"]] == [(0, "a"), (1, "b")]
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (60, 22)


def _faults(request: ChatRequest, *answers: Sequence[JSONObject]) -> dict[int, str | None]:
    found = dialect().invalid_choices(request, [accumulate(script(blocks)) for blocks in answers])
    return {choice: fault.code for choice, fault in found.items()}


def test_a_text_that_does_not_match_its_format_is_invalid() -> None:
    """By choice. Words around the JSON or a code fence do not match."""
    request = decode(response_format=JSON_MODE, n=4)
    fenced = text("```json\n{}\n```")
    wrong = _faults(request, [text("{"), text("}")], [text("Sure! {}")], [THINKING, text("{}")], [fenced])
    assert wrong == {1: "schema_mismatch", 3: "schema_mismatch"}
    assert _faults(decode(), [text("Sure! {}")]) == {}


def test_tool_calls_are_not_checked_against_the_format() -> None:
    """The text comes in a later response."""
    request = decode(response_format=JSON_MODE, tools=[WEATHER])
    assert _faults(request, [text("I look."), PARIS]) == {}
    assert only_choice(request, [text("I look."), PARIS], "tool_use")["finish_reason"] == "tool_calls"


def test_arguments_that_do_not_match_their_schema_cause_a_warning() -> None:
    """With the path of the call. The client receives the arguments unchanged."""
    wrong: JSONObject = {**PARIS, "input": {"town": "Paris"}}
    request = decode(tools=[WEATHER], n=2)
    found = dialect().response_warnings(
        request, [accumulate(script([PARIS])), accumulate(script([TEXT, NOW, wrong, CUT]))]
    )
    assert [(warning.code, warning.param) for warning in found] == [
        ("schema_mismatch", "choices[1].message.tool_calls[1].function.arguments"),
        ("schema_mismatch", "choices[1].message.tool_calls[2].function.arguments"),
    ]
