"""Plain responses, and every event of streamed ones, checked against two published API descriptions."""

import json
from typing import Any

import pytest
from chat_answers import ANSWERS, CITED, CUT, FOUND, PARIS, REDACTED, SEARCH, TEXT, THINKING
from chat_support import IDENTITY, script, text
from openai.types.responses import Response
from responses_spec import assert_event, assert_response
from responses_support import NOW, PATCH, PATCH_CALL, WEATHER, decode, dialect, parse_events, plain, streamed

from dragoman.core import errors
from dragoman.core.accumulate import accumulate
from dragoman.core.messages import JSONObject

BASIC = decode(stream=True)
DETAILED = decode(
    stream=True,
    tools=[WEATHER, PATCH, {"type": "web_search"}],
    reasoning={"effort": "low", "summary": "auto"},
    include=["reasoning.encrypted_content", "web_search_call.action.sources"],
    user="u",
)
CASES = {**ANSWERS, "custom call": ([TEXT, PATCH_CALL], "tool_use"), "redacted": ([REDACTED, TEXT], "end_turn")}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("request_", [BASIC, DETAILED], ids=["basic", "detailed"])
def test_every_response_and_event_is_valid(case: str, request_: Any) -> None:
    """Both descriptions and OpenAI's own types accept them."""
    blocks, stop_reason = CASES[case]
    response = plain(request_, blocks, stop_reason)
    assert_response(response)
    Response.model_validate(response)
    for event in parse_events(streamed(request_, script(blocks, stop_reason))):
        assert_event(event)


def test_plain_response() -> None:
    """It has ids, times, settings and usage."""
    response = plain(BASIC, [text("abcd")])
    assert (response["id"], response["object"]) == ("resp_0123456789abcdef0123456789abcdef", "response")
    assert (response["created_at"], response["completed_at"]) == (IDENTITY.created, NOW)
    assert (response["status"], response["error"], response["incomplete_details"]) == ("completed", None, None)
    assert response["output"] == [
        {
            "id": "msg_0123456789abcdef0123456789abcdef0000",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "abcd", "annotations": [], "logprobs": []}],
        }
    ]
    assert response["usage"] == {
        "input_tokens": 30,
        "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 3},
        "output_tokens": 11,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 41,
    }


@pytest.mark.parametrize(
    ("stop_reason", "status", "reason", "last"),
    [
        ("end_turn", "completed", None, "completed"),
        ("stop_sequence", "completed", None, "completed"),
        ("max_tokens", "incomplete", "max_output_tokens", "incomplete"),
        ("model_context_window_exceeded", "incomplete", "max_output_tokens", "incomplete"),
        ("refusal", "incomplete", "content_filter", "completed"),
    ],
)
def test_status_follows_the_stop_reason(stop_reason: str, status: str, reason: str | None, last: str) -> None:
    """An incomplete response has a reason; the last item of a refused one is complete."""
    response = plain(BASIC, [TEXT], stop_reason)
    assert response["status"] == status
    assert (response["incomplete_details"] or {}).get("reason") == reason
    assert response["output"][-1]["status"] == last
    assert (response["completed_at"] is None) == (reason is not None)


def test_cut_call_is_incomplete() -> None:
    """Its partial arguments are returned; the call before it is complete."""
    response = plain(DETAILED, [PARIS, CUT], "max_tokens")
    assert [(item["arguments"], item["status"]) for item in response["output"]] == [
        ('{"city": "Paris"}', "completed"),
        ('{"city": "Pa', "incomplete"),
    ]


def test_refusal_is_a_separate_part() -> None:
    """It follows the text, or is the only part."""
    details: JSONObject = {"explanation": "This could do harm."}
    parts = plain(BASIC, [text("Well")], "refusal", stop_details=details)["output"][0]["content"]
    assert [part["type"] for part in parts] == ["output_text", "refusal"]
    assert parts[1]["refusal"] == "This could do harm."
    assert [part["type"] for part in plain(BASIC, [], "refusal")["output"][0]["content"]] == ["refusal"]


def test_text_blocks_are_one_part() -> None:
    """Annotations have the position of their block; a search between two texts makes two messages."""
    response = plain(DETAILED, [text("So: "), CITED])["output"]
    assert len(response) == len(response[0]["content"]) == 1
    part = response[0]["content"][0]
    assert part["text"] == "So: It rains."
    assert [(one["url"], one["title"], one["start_index"], one["end_index"]) for one in part["annotations"]] == [
        ("https://a.test/", "A", 4, 13),
        ("https://b.test/", "https://b.test/", 4, 13),
    ]
    types = [item["type"] for item in plain(DETAILED, [TEXT, SEARCH, FOUND, CITED])["output"]]
    assert types == ["message", "web_search_call", "message"]


def test_search_shows_its_result() -> None:
    """Its pages are shown if the client asked for them; a search without a result has failed."""
    pages: JSONObject = {**FOUND, "content": [{"type": "web_search_result", "url": "https://a.test/"}]}
    done = plain(DETAILED, [SEARCH, pages])["output"][0]
    assert done["status"] == "completed"
    assert done["action"]["query"] == "rain"
    assert done["action"]["sources"] == [{"type": "url", "url": "https://a.test/"}]
    assert "sources" not in plain(BASIC, [SEARCH, pages])["output"][0]["action"]
    error: JSONObject = {**FOUND, "content": {"type": "web_search_tool_result_error", "error_code": "unavailable"}}
    assert plain(BASIC, [SEARCH, error])["output"][0]["status"] == "failed"
    assert plain(BASIC, [SEARCH, TEXT])["output"][0]["status"] == "failed"
    assert plain(BASIC, [{**SEARCH, "input": "cut"}])["output"][0]["action"]["query"] == ""


def test_reasoning_is_shown_on_request() -> None:
    """As a summary, as encrypted content, or only as an item."""
    shown = plain(DETAILED, [THINKING, REDACTED])["output"]
    assert shown[0]["summary"] == [{"type": "summary_text", "text": "Let me see."}]
    assert all(item["encrypted_content"] for item in shown)
    basic = plain(BASIC, [THINKING, REDACTED])["output"]
    assert [item["summary"] for item in basic] == [[], []]
    assert not any("encrypted_content" in item for item in basic)


def test_encrypted_reasoning_comes_back_unchanged() -> None:
    """Sent back as input, it becomes Claude's own blocks again."""
    output = plain(DETAILED, [THINKING, REDACTED, PARIS], "tool_use")["output"]
    next_request = decode(
        [
            {"role": "user", "content": "?"},
            *output,
            {
                "type": "function_call_output",
                "call_id": "toolu_1",
                "output": "21",
            },
        ]
    )
    assert next_request.body["messages"][1]["content"] == [THINKING, REDACTED, PARIS]
    assert next_request.warnings == ()


def test_custom_tool_call_has_text() -> None:
    """The text is decoded from Claude's JSON, also if that is cut or does not fit the schema."""
    item = plain(DETAILED, [PATCH_CALL], "tool_use")["output"][0]
    assert (item["type"], item["call_id"], item["name"]) == ("custom_tool_call", "toolu_9", "apply_patch")
    assert item["input"] == 'a "b"\n\\ü'
    for cut, text_ in [
        ('{"input": "ab\\n', "ab\n"),
        ('{"input": "ab\\ud83e\\udd', "ab"),
        ("{", ""),
        ('{"input": "\\q0123456789abc', ""),
    ]:
        cut_call: JSONObject = {**PATCH_CALL, "input": cut}
        assert plain(DETAILED, [cut_call], "max_tokens")["output"][0]["input"] == text_
    unfitting: list[tuple[JSONObject, str]] = [
        ({"other": 1}, '{"other": 1}'),
        ({}, ""),
        ({"input": "\ud83e"}, "\ufffd"),
    ]
    for arguments, text_ in unfitting:
        assert plain(DETAILED, [{**PATCH_CALL, "input": arguments}], "tool_use")["output"][0]["input"] == text_


def test_arguments_that_do_not_fit_their_schema_cause_a_warning() -> None:
    """The text of a custom tool is not checked."""
    answer = accumulate(script([{**PARIS, "input": {"town": "Paris"}}, PATCH_CALL], "tool_use"))
    assert [warning.code for warning in dialect().response_warnings(DETAILED, [answer])] == ["schema_mismatch"]
    assert dialect().response_warnings(DETAILED, [accumulate(script([PARIS], "tool_use"))]) == ()


def test_text_must_fit_its_format() -> None:
    """A message with tool calls is not checked."""
    request = decode(text={"format": {"type": "json_object"}}, tools=[WEATHER])
    errors_by_choice = dialect().invalid_choices(request, [accumulate(script([text("Sure!")]))])
    assert (errors_by_choice[0].code, errors_by_choice[0].param) == ("schema_mismatch", "text.format")
    assert dialect().invalid_choices(request, [accumulate(script([text("{}")]))]) == {}
    assert dialect().invalid_choices(request, [accumulate(script([text("I look."), PARIS], "tool_use"))]) == {}
    assert dialect().invalid_choices(BASIC, [accumulate(script([text("Sure!")]))]) == {}


def test_error_before_the_response() -> None:
    """It has OpenAI's form."""
    reply = dialect().encode_error(errors.Overloaded("Busy"))
    assert reply.status == 503
    assert json.loads(reply.body)["error"]["code"] == "overloaded"
