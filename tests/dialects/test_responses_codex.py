"""History as Codex sends it: every item of its protocol goes through."""

from typing import Any

import pytest
from chat_support import IDENTITY, script
from responses_support import CIPHER, decode, decode_error, dialect, raw, turns, user, warnings

from dragoman.core.accumulate import accumulate
from dragoman.core.messages import JSON, JSONObject

ASK: JSONObject = {"role": "user", "content": "?"}
NEXT: JSONObject = {"role": "user", "content": "And?"}
SHELL_CALL: JSONObject = {
    "type": "local_shell_call",
    "id": "lsh_1",
    "call_id": "c1",
    "status": "completed",
    "action": {"type": "exec", "command": ["ls"], "timeout_ms": None, "working_directory": "/home", "env": None},
}


def content(items: list[JSON], index: int) -> Any:
    """Return the content of a message of the body."""
    return decode(items).body["messages"][index]["content"]


@pytest.mark.parametrize(
    "output",
    [
        {"type": "function_call_output", "call_id": "c1", "output": "a.txt"},
        {"type": "local_shell_call_output", "id": "c1", "output": "a.txt"},
        {"type": "local_shell_call_output", "id": "o", "call_id": "c1", "output": "a.txt"},
    ],
)
def test_local_shell_call(output: JSONObject) -> None:
    """The result comes as an item of its own type, or as that of a function."""
    items: list[JSON] = [ASK, SHELL_CALL, output]
    assert content(items, 1) == [
        {
            "type": "tool_use",
            "id": "c1",
            "name": "local_shell",
            "input": {"command": ["ls"], "working_directory": "/home"},
        }
    ]
    assert content(items, 2) == [
        {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "a.txt"}]}
    ]


def test_local_shell_call_of_an_old_session_has_only_an_id() -> None:
    """Its result refers to that."""
    items: list[JSON] = [
        ASK,
        {**SHELL_CALL, "call_id": None},
        {"type": "local_shell_call_output", "id": "lsh_1", "output": "a.txt"},
    ]
    assert turns(decode(items))[1:] == [("assistant", ["tool_use"]), ("user", ["tool_result"])]


def test_message_between_agents_is_a_user_message() -> None:
    """Claude reads its author and its recipient; a part that OpenAI encrypted is left out with a warning."""
    message: JSONObject = {
        "type": "agent_message",
        "author": "/root",
        "recipient": "/root/worker",
        "content": [{"type": "input_text", "text": "Go."}, {"type": "encrypted_content", "encrypted_content": "gAAA"}],
    }
    request = decode([ASK, {"role": "assistant", "content": "a"}, message])
    assert [block["text"] for block in request.body["messages"][2]["content"]] == [
        "Message from `/root` to `/root/worker`:",
        "Go.",
    ]
    assert warnings(request) == [("left_out", "input[2].content[1].encrypted_content")]


def test_output_without_a_call_is_a_user_message() -> None:
    """Codex sends one when a tool ends on its own."""
    output: JSONObject = {"type": "function_call_output", "call_id": None, "name": "timer", "output": "It is time."}
    assert [block["text"] for block in content([ASK, {"role": "assistant", "content": "a"}, output], 2)] == [
        "Output of the tool `timer`:",
        "It is time.",
    ]


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ({"type": "ghost_snapshot", "ghost_commit": {"id": "a"}}, None),
        ({"type": "additional_tools", "role": "developer", "tools": []}, None),
        ({"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "iVBO"}, "ignored"),
        ({"type": "configuration_update"}, "ignored"),
        ({"type": "context_compaction"}, "ignored"),
        ({"type": "web_search_call", "status": "completed", "action": {"type": "open_page", "url": "u"}}, "ignored"),
    ],
)
def test_items_that_are_no_message_are_left_out(item: JSONObject, code: str | None) -> None:
    """With a warning, unless no model ever sees them."""
    request = decode([ASK, {"role": "assistant", "content": "a"}, item, NEXT])
    assert turns(request) == [("user", ["text"]), ("assistant", ["text"]), ("user", ["text"])]
    assert warnings(request) == ([(code, "input[2]")] if code else [])


@pytest.mark.parametrize("item_type", ["compaction", "compaction_summary", "context_compaction"])
def test_every_name_of_a_summary_is_understood(item_type: str) -> None:
    """One that another service encrypted is refused: without it, the conversation would be gone."""
    item: JSONObject = {"type": item_type, "encrypted_content": CIPHER.encrypt_summary("Blue.")}
    assert "Blue." in str(content([item, NEXT], 0))
    assert decode_error([{**item, "encrypted_content": "gAAA"}, NEXT]) == (
        "invalid_value",
        "input[0].encrypted_content",
    )


def test_codex_own_fields_cause_no_warning() -> None:
    """It adds them to any item."""
    passed: JSONObject = {"internal_chat_message_metadata_passthrough": {"turn_id": "t"}}
    request = decode(
        [
            {"type": "message", **ASK, **passed, "phase": None},
            {**SHELL_CALL, **passed},
            {"type": "function_call_output", "call_id": "c1", "name": "local_shell", "output": "a", **passed},
        ]
    )
    assert request.warnings == ()


def test_names_that_claude_does_not_accept_are_replaced_in_history() -> None:
    """The conversation may come from a model with other rules."""
    call: JSONObject = {"type": "function_call", "call_id": "c1", "name": "multi_tool_use.parallel", "arguments": "{}"}
    [block] = content([ASK, call, {"type": "function_call_output", "call_id": "c1", "output": "a"}], 1)
    assert block["name"].startswith("multi_tool_use_parallel_")


def test_shell_and_patch_results() -> None:
    """Their structure is kept as JSON; the state of a patch comes before its text."""
    items: list[JSON] = [
        ASK,
        {"type": "shell_call", "call_id": "c1", "action": {"commands": ["ls"]}},
        {"type": "apply_patch_call", "call_id": "c2", "operation": {"type": "delete_file", "path": "a"}},
        {
            "type": "shell_call_output",
            "call_id": "c1",
            "output": [{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
        },
        {"type": "apply_patch_call_output", "call_id": "c2", "status": "failed", "output": "No such file."},
    ]
    shell, patch = content(items, 2)
    assert '"exit_code":0' in shell["content"][0]["text"]
    assert patch["content"][0]["text"] == "failed\nNo such file."


def test_every_item_is_stored_and_read_again() -> None:
    """A continued response contains the same conversation."""
    storing = dialect(stores_responses=True)
    items: list[JSON] = [
        {"type": "additional_tools", "role": "developer", "tools": [{"type": "function", "name": "f"}]},
        user({"type": "input_text", "text": "?"}),
        SHELL_CALL,
        {"type": "function_call_output", "call_id": "c1", "output": "a"},
        {"type": "tool_search_call", "call_id": "c2", "execution": "client", "arguments": {"query": "q"}},
        {"type": "tool_search_output", "call_id": "c2", "tools": [{"type": "function", "name": "g"}]},
    ]
    request = storing.decode(raw(items))
    answers = [accumulate(script([{"type": "text", "text": "Done."}]))]
    body = storing.encode(request, IDENTITY, answers)
    document = storing.stored_format.completed(request, IDENTITY, answers, body)
    history = storing.stored_format.history([document])
    after = storing.decode_continuation(raw("And?", previous_response_id="resp_1"), history)
    assert after.body["messages"][: len(request.body["messages"])] == request.body["messages"]
    assert after.body["tools"] == request.body["tools"]
