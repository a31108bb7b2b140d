"""Responses, whole and streamed, held to two published descriptions."""

import json
from typing import Any

import pytest
from chat_answers import ANSWERS, CITED, CUT, FOUND, PARIS, REDACTED, SEARCH, TEXT, THINKING
from chat_support import IDENTITY, script, text
from openai.types.responses import Response
from responses_spec import assert_event, assert_response
from responses_support import NOW, PATCH, PATCHED, WEATHER, decode, dialect, plain, streamed, told

from dragoman.core import errors
from dragoman.core.accumulate import accumulate
from dragoman.core.messages import JSONObject

PLAIN = decode(stream=True)
ASKING = decode(
    stream=True,
    tools=[WEATHER, PATCH, {"type": "web_search"}],
    reasoning={"effort": "low", "summary": "auto"},
    include=["reasoning.encrypted_content", "web_search_call.action.sources"],
    user="u",
)
CASES = {**ANSWERS, "patched": ([TEXT, PATCHED], "tool_use"), "redacted": ([REDACTED, TEXT], "end_turn")}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("request_", [PLAIN, ASKING], ids=["plain", "asking"])
def test_every_response_and_event_is_valid(case: str, request_: Any) -> None:
    """By both descriptions, and readable for OpenAI's own types."""
    blocks, stop_reason = CASES[case]
    whole = plain(request_, blocks, stop_reason)
    assert_response(whole)
    Response.model_validate(whole)
    for event in told(streamed(request_, script(blocks, stop_reason))):
        assert_event(event)


def test_a_whole_response() -> None:
    """Ids, times, settings and usage."""
    made = plain(PLAIN, [text("abcd")])
    assert (made["id"], made["object"]) == ("resp_0123456789abcdef0123456789abcdef", "response")
    assert (made["created_at"], made["completed_at"]) == (IDENTITY.created, NOW)
    assert (made["status"], made["error"], made["incomplete_details"]) == ("completed", None, None)
    assert made["output"] == [
        {
            "id": "msg_0123456789abcdef0123456789abcdef0000",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "abcd", "annotations": [], "logprobs": []}],
        }
    ]
    assert made["usage"] == {
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
def test_how_answers_end(stop_reason: str, status: str, reason: str | None, last: str) -> None:
    """With the reason, where they are not whole."""
    made = plain(PLAIN, [TEXT], stop_reason)
    assert made["status"] == status
    assert (made["incomplete_details"] or {}).get("reason") == reason
    assert made["output"][-1]["status"] == last
    assert (made["completed_at"] is None) == (reason is not None)


def test_a_cut_call_is_incomplete() -> None:
    """Its arguments stay as far as they came; a call before it is whole."""
    made = plain(ASKING, [PARIS, CUT], "max_tokens")
    assert [(item["arguments"], item["status"]) for item in made["output"]] == [
        ('{"city": "Paris"}', "completed"),
        ('{"city": "Pa', "incomplete"),
    ]


def test_a_refusal_is_a_part_of_its_own() -> None:
    """After what was said, or alone."""
    details: JSONObject = {"explanation": "This could do harm."}
    parts = plain(PLAIN, [text("Well")], "refusal", stop_details=details)["output"][0]["content"]
    assert [part["type"] for part in parts] == ["output_text", "refusal"]
    assert parts[1]["refusal"] == "This could do harm."
    assert [part["type"] for part in plain(PLAIN, [], "refusal")["output"][0]["content"]] == ["refusal"]


def test_blocks_of_text_are_one_part() -> None:
    """With the places of what each cites; a search between two makes two messages."""
    made = plain(ASKING, [text("So: "), CITED])["output"]
    assert len(made) == len(made[0]["content"]) == 1
    part = made[0]["content"][0]
    assert part["text"] == "So: It rains."
    assert [(note["url"], note["title"], note["start_index"], note["end_index"]) for note in part["annotations"]] == [
        ("https://a.test/", "A", 4, 13),
        ("https://b.test/", "https://b.test/", 4, 13),
    ]
    kinds = [item["type"] for item in plain(ASKING, [TEXT, SEARCH, FOUND, CITED])["output"]]
    assert kinds == ["message", "web_search_call", "message"]


def test_a_search_says_what_came_of_it() -> None:
    """Its pages where the client asked for them; without a result it has failed."""
    pages: JSONObject = {**FOUND, "content": [{"type": "web_search_result", "url": "https://a.test/"}]}
    done = plain(ASKING, [SEARCH, pages])["output"][0]
    assert done["status"] == "completed"
    assert done["action"]["query"] == "rain"
    assert done["action"]["sources"] == [{"type": "url", "url": "https://a.test/"}]
    assert "sources" not in plain(PLAIN, [SEARCH, pages])["output"][0]["action"]
    trouble: JSONObject = {**FOUND, "content": {"type": "web_search_tool_result_error", "error_code": "unavailable"}}
    assert plain(PLAIN, [SEARCH, trouble])["output"][0]["status"] == "failed"
    assert plain(PLAIN, [SEARCH, TEXT])["output"][0]["status"] == "failed"
    assert plain(PLAIN, [{**SEARCH, "input": "cut"}])["output"][0]["action"]["query"] == ""


def test_thinking_is_shown_to_those_who_ask() -> None:
    """As a summary, as an opaque string, or only as an item."""
    shown = plain(ASKING, [THINKING, REDACTED])["output"]
    assert shown[0]["summary"] == [{"type": "summary_text", "text": "Let me see."}]
    assert all(item["encrypted_content"] for item in shown)
    bare = plain(PLAIN, [THINKING, REDACTED])["output"]
    assert [item["summary"] for item in bare] == [[], []]
    assert not any("encrypted_content" in item for item in bare)


def test_what_was_thought_comes_back_as_it_was() -> None:
    """Sealed into the response, sent back as input, and again Claude's own blocks."""
    output = plain(ASKING, [THINKING, REDACTED, PARIS], "tool_use")["output"]
    again = decode(
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
    assert again.body["messages"][1]["content"] == [THINKING, REDACTED, PARIS]
    assert again.warnings == ()


def test_custom_tools_take_text() -> None:
    """Not the JSON that Claude wrote it in, whole or cut."""
    item = plain(ASKING, [PATCHED], "tool_use")["output"][0]
    assert (item["type"], item["call_id"], item["name"]) == ("custom_tool_call", "toolu_9", "apply_patch")
    assert item["input"] == 'a "b"\n\\ü'
    for cut, readable in [
        ('{"input": "ab\\n', "ab\n"),
        ('{"input": "ab\\ud83e\\udd', "ab"),
        ("{", ""),
        ('{"input": "\\q0123456789abc', ""),
    ]:
        broken: JSONObject = {**PATCHED, "input": cut}
        assert plain(ASKING, [broken], "max_tokens")["output"][0]["input"] == readable
    odd: list[tuple[JSONObject, str]] = [({"other": 1}, '{"other": 1}'), ({}, ""), ({"input": "\ud83e"}, "\ufffd")]
    for given, as_text in odd:
        assert plain(ASKING, [{**PATCHED, "input": given}], "tool_use")["output"][0]["input"] == as_text


def test_arguments_that_do_not_fit_are_warned_of() -> None:
    """Functions only: a custom tool's text is its own affair."""
    answer = accumulate(script([{**PARIS, "input": {"town": "Paris"}}, PATCHED], "tool_use"))
    assert [warning.code for warning in dialect().response_warnings(ASKING, [answer])] == ["schema_mismatch"]
    assert dialect().response_warnings(ASKING, [accumulate(script([PARIS], "tool_use"))]) == ()


def test_a_structured_answer_is_held_to_its_format() -> None:
    """Calls are not."""
    request = decode(text={"format": {"type": "json_object"}}, tools=[WEATHER])
    faults = dialect().invalid_choices(request, [accumulate(script([text("Sure!")]))])
    assert (faults[0].code, faults[0].param) == ("schema_mismatch", "text.format")
    assert dialect().invalid_choices(request, [accumulate(script([text("{}")]))]) == {}
    assert dialect().invalid_choices(request, [accumulate(script([text("I look."), PARIS], "tool_use"))]) == {}
    assert dialect().invalid_choices(PLAIN, [accumulate(script([text("Sure!")]))]) == {}


def test_errors_before_the_answer_are_openais() -> None:
    """In its own form."""
    reply = dialect().encode_error(errors.Overloaded("Busy"))
    assert reply.status == 503
    assert json.loads(reply.body)["error"]["code"] == "overloaded"
