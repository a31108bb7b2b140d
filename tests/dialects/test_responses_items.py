"""Input items converted to messages of the Messages API."""

import base64
import json
from typing import Any, cast

import pytest
from chat_support import NEWEST, PNG
from responses_support import call, decode, decode_error, dialect, raw, result, turns, user, warnings

from dragoman.core.messages import JSON, JSONObject

QUESTION: JSONObject = {"role": "user", "content": "?"}
IMAGE: JSONObject = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}
TEXT_FILE: JSONObject = {"type": "input_file", "file_data": "aGk=", "filename": "a.txt"}


def test_message_roles_are_converted() -> None:
    """`system` and `developer` messages become the system prompt, with any form of content."""
    request = decode(
        [
            {"role": "developer", "content": "Be terse."},
            {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be kind."}]},
            user({"type": "input_text", "text": "Hi"}),
            {
                "type": "message",
                "id": "msg_1",
                "status": "completed",
                "role": "assistant",
                "phase": "final_answer",
                "content": [
                    {"type": "output_text", "text": "Hello.", "annotations": [], "logprobs": []},
                    {"type": "refusal", "refusal": "No."},
                ],
            },
            {"role": "user", "content": "ping"},
        ],
        instructions="You are a pirate.",
    )
    assert [block["text"] for block in request.body["system"]] == ["You are a pirate.", "Be terse.", "Be kind."]
    assert turns(request) == [("user", ["text"]), ("assistant", ["text", "text"]), ("user", ["text"])]
    assert request.warnings == ()


def test_images_and_files_are_converted() -> None:
    """Also those that come by URL and are fetched later."""
    by_url: JSONObject = {"type": "input_file", "file_url": "https://a.test/a.pdf"}
    request = decode([user(IMAGE, TEXT_FILE, by_url, {**IMAGE, "detail": "high"})])
    assert turns(request) == [("user", ["image", "document", "document", "image"])]
    assert [placed.param for placed in request.media] == [
        "input[0].content[0].image_url",
        "input[0].content[1].file_data",
        "input[0].content[2].file_url",
        "input[0].content[3].image_url",
    ]
    assert warnings(request) == [("ignored", "input[0].content[3].detail")]


def test_calls_and_results_are_grouped() -> None:
    """Several calls of one message are one turn; so are their results, in any order."""
    request = decode(
        [
            user({"type": "input_text", "text": "?"}),
            {"role": "assistant", "content": "I look."},
            call("a"),
            call("b", "get_time", ""),
            result("b", [{"type": "input_text", "text": "noon"}, IMAGE]),
            result("a"),
            call("c"),
            result("c", ""),
        ]
    )
    assert turns(request) == [
        ("user", ["text"]),
        ("assistant", ["text", "tool_use", "tool_use"]),
        ("user", ["tool_result", "tool_result"]),
        ("assistant", ["tool_use"]),
        ("user", ["tool_result"]),
    ]
    assert request.body["messages"][1]["content"][1]["input"] == {"city": "Paris"}
    assert request.body["tool_choice"] == {"type": "none"}


def test_custom_call_becomes_a_function_call() -> None:
    """Its text is the function's only argument."""
    request = decode(
        [
            {"role": "user", "content": "?"},
            {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": "+ a"},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"},
        ]
    )
    assert request.body["messages"][1]["content"] == [
        {"type": "tool_use", "id": "c1", "name": "apply_patch", "input": {"input": "+ a"}}
    ]


def test_instructions_move_behind_the_result_of_a_call() -> None:
    """The API allows nothing between a call and its result."""
    request = decode(
        [user({"type": "input_text", "text": "?"}), call(), {"role": "developer", "content": "X"}, result()]
    )
    assert turns(request)[1:] == [("assistant", ["tool_use"]), ("user", ["tool_result"])]
    assert request.body["system"] == [{"type": "text", "text": "X"}]
    conversation: list[JSON] = [
        {"role": role, "content": "a"} for role in ("assistant", "developer", "assistant", "user")
    ]
    newest = decode([QUESTION, *conversation], model=NEWEST)
    assert [role for role, _ in turns(newest)] == ["user", "assistant", "system", "assistant", "user"]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAB-of-openai"},
        {"type": "reasoning", "summary": [], "encrypted_content": base64.b64encode(b"\x01{}").decode()},
        {"type": "reasoning", "summary": [], "encrypted_content": base64.b64encode(b"\x02{").decode()},
        {"type": "reasoning", "summary": [], "encrypted_content": base64.b64encode(b"\x01{").decode()},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
    ],
)
def test_items_that_claude_cannot_use_are_left_out(item: JSONObject) -> None:
    """A warning names them."""
    request = decode(
        [
            {"role": "user", "content": "?"},
            item,
            {"role": "assistant", "content": "a"},
            user({"type": "input_text", "text": "b"}),
        ]
    )
    assert turns(request) == [("user", ["text"]), ("assistant", ["text"]), ("user", ["text"])]
    [(code, param)] = warnings(request)
    assert code == ("left_out" if "encrypted_content" in item else "ignored")
    assert param.startswith("input[1]")


@pytest.mark.parametrize(
    ("items", "code", "param"),
    [
        ([], "empty_messages", "input"),
        ("", "empty_messages", "input"),
        ([5], "invalid_type", "input[0]"),
        ([{"id": "msg_1"}], "unsupported_parameter", "input[0].id"),
        ([{"type": "item_reference", "id": "msg_1"}], "unsupported_parameter", "input[0].id"),
        ([{"type": "computer_call", "id": "c"}], "unsupported_parameter", "input[0].type"),
        ([{"role": "critic", "content": "a"}], "invalid_value", "input[0].role"),
        ([{"content": "a"}], "missing_required_parameter", "input[0].type"),
        (
            [user({"type": "input_audio", "input_audio": {}})],
            "unsupported_parameter",
            "input[0].content[0].input_audio",
        ),
        ([user({"type": "input_image", "file_id": "f"})], "unsupported_parameter", "input[0].content[0].file_id"),
        ([user({"type": "input_file", "file_id": "f"})], "unsupported_parameter", "input[0].content[0].file_id"),
        ([user({"type": "input_image"})], "missing_required_parameter", "input[0].content[0].image_url"),
        ([user({"type": "input_file"})], "missing_required_parameter", "input[0].content[0].file_data"),
        ([{"role": "system", "content": [IMAGE]}], "unsupported_parameter", "input[0].content[0].image_url"),
        ([QUESTION, call()], "missing_tool_result", "input[1]"),
        (
            [QUESTION, call(), {"role": "user", "content": "!"}],
            "missing_tool_result",
            "input[1]",
        ),
        ([QUESTION, result()], "invalid_value", "input[1].call_id"),
        ([QUESTION, call(), call()], "missing_tool_result", "input[1]"),
    ],
)
def test_invalid_items_are_refused_by_name(items: JSON, code: str, param: str) -> None:
    """The error names the item."""
    assert decode_error(items) == (code, param)


def test_arguments_that_are_not_an_object_are_wrapped() -> None:
    """A limit cut the call, and the client sends it back."""
    request = dialect().decode(raw([QUESTION, call(arguments='{"city": "Os'), result()]))
    assert request.body["messages"][1]["content"][0]["input"] == {"arguments": '{"city": "Os'}
    assert [(warning.code, warning.param) for warning in request.warnings] == [("mapped", "input[1].arguments")]


def test_cache_breakpoints_become_cache_marks() -> None:
    """Only as many as the API accepts: the last ones."""
    part: JSONObject = {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"type": "ephemeral"}}
    request = dialect().decode(raw([user(*[part] * 5)]))
    marked = ["cache_control" in block for block in request.body["messages"][0]["content"]]
    assert marked == [False, True, True, True, True]


def test_body_is_plain_json() -> None:
    """The request body for the API can be encoded as JSON."""
    body: Any = decode([user(IMAGE, TEXT_FILE), call(), result()]).body
    assert cast("Any", json.loads(json.dumps(body))) == body
