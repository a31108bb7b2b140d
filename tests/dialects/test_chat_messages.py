"""Chat messages as messages of the Messages API."""

from typing import Any

import pytest
from chat_support import NEWEST, OLD, PNG, call, decode, text, warned

from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSON
from dragoman.dialects.shared.conversation import OPENING

USER: JSON = {"role": "user", "content": "hi"}
CALLING: JSON = {"role": "assistant", "content": "", "tool_calls": [call("c1"), call("c2", "get_time", "")]}


def _tool(id_: str, content: JSON = "ok") -> JSON:
    return {"role": "tool", "tool_call_id": id_, "content": content}


def _turns(*messages: JSON, model: str = OLD) -> list[tuple[str, Any]]:
    """Return role and content of each message."""
    return [(turn["role"], turn["content"]) for turn in decode(messages, model=model).body["messages"]]


def _use(id_: str, name: str = "get_weather", **given: JSON) -> dict[str, JSON]:
    return {"type": "tool_use", "id": id_, "name": name, "input": given}


def _result(id_: str, *content: JSON) -> dict[str, JSON]:
    return {"type": "tool_result", "tool_use_id": id_, **({"content": list(content)} if content else {})}


def test_leading_instructions_are_the_system_prompt() -> None:
    """System and developer, text and parts, without blank ones."""
    body = decode(
        [
            {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": " "}]},
            {"role": "system", "content": "b"},
            {"role": "system", "content": ""},
            USER,
        ]
    ).body
    assert body["system"] == [text("a"), text("b")]
    assert body["messages"] == [{"role": "user", "content": [text("hi")]}]


def test_without_instructions_there_is_no_system_prompt() -> None:
    """Not even an empty one."""
    assert "system" not in decode([USER]).body


def test_later_instructions_are_system_messages_if_supported() -> None:
    """In their place in the conversation."""
    turns = _turns(USER, {"role": "system", "content": "now"}, {"role": "user", "content": "go"}, model=NEWEST)
    assert turns == [("user", [text("hi")]), ("system", [text("now")]), ("user", [text("go")])]


def test_later_instructions_join_the_system_prompt_otherwise() -> None:
    """With a warning; the user messages around them are joined."""
    request = decode([USER, {"role": "developer", "content": "now"}, {"role": "user", "content": "go"}])
    assert request.body["system"] == [text("now")]
    assert request.body["messages"] == [{"role": "user", "content": [text("hi"), text("go")]}]
    assert warned(request) == [("moved", "messages[1]")]


@pytest.mark.parametrize("model", [OLD, NEWEST])
def test_instructions_after_the_assistant_become_a_user_message(model: str) -> None:
    """The model must respond to them, not continue the assistant message."""
    request = decode([USER, {"role": "assistant", "content": "a"}, {"role": "system", "content": "go"}], model=model)
    assert request.body["messages"][-1] == {"role": "user", "content": [text("go")]}
    assert warned(request) == [("moved", "messages[2]")]


def test_instructions_do_not_separate_calls_from_results() -> None:
    """They come after the results."""
    turns = _turns(USER, CALLING, _tool("c1"), {"role": "system", "content": "now"}, _tool("c2"), USER, model=NEWEST)
    assert [role for role, _ in turns] == ["user", "assistant", "user", "system", "user"]
    assert turns[2][1] == [_result("c1", text("ok")), _result("c2", text("ok"))]


@pytest.mark.parametrize("model", [OLD, NEWEST])
def test_instructions_alone_become_a_user_message(model: str) -> None:
    """The API requires a user message."""
    request = decode([{"role": "system", "content": "say hi"}], model=model)
    assert request.body["messages"] == [{"role": "user", "content": [text("say hi")]}]
    assert "system" not in request.body
    assert warned(request) == [("moved", "messages")]


def test_a_user_message_is_added_before_a_first_assistant_message() -> None:
    """The API requires the user first; with a warning."""
    request = decode([{"role": "assistant", "content": "Welcome."}, USER])
    assert request.body["messages"][0] == {"role": "user", "content": [text(OPENING)]}
    assert warned(request) == [("mapped", "messages")]


def test_user_parts() -> None:
    """Text, images in both forms, a file. Empty text is left out; cache marks are kept."""
    url = f"data:image/jpeg;base64,{PNG}"
    parts: list[JSON] = [
        {"type": "text", "text": "look", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": ""},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}, "prompt_cache_breakpoint": {"mode": "x"}},
        {"type": "image_url", "image_url": "https://x.test/a.png"},
        {"type": "file", "file": {"filename": "a.txt", "file_data": "aGk="}},
    ]
    assert _turns({"role": "user", "content": parts})[0][1] == [
        {"type": "text", "text": "look", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": PNG},
            "cache_control": {"type": "ephemeral"},
        },
        {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "hi"},
            "title": "a.txt",
        },
    ]


@pytest.mark.parametrize(
    ("part", "code", "where"),
    [
        ({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}, "unsupported_parameter", "input_audio"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "unsupported_parameter", "file.file_id"),
        ({"type": "file", "file": {}}, "missing_required_parameter", "file.file_data"),
        ({"type": "file", "file": {"file_data": "?"}}, "invalid_base64", "file.file_data"),
        ({"type": "image_url", "image_url": {"url": "ftp://x.test"}}, "unsupported_image_url", "image_url.url"),
        ({"type": "image_url", "image_url": "ftp://x.test"}, "unsupported_image_url", "image_url"),
        ({"type": "image_url"}, "missing_required_parameter", "image_url"),
        ({"type": "video_url", "video_url": "x"}, "invalid_value", "type"),
    ],
)
def test_unsupported_parts_are_refused_by_name(part: JSON, code: str, where: str) -> None:
    """With the path of the part."""
    with pytest.raises(InvalidRequest) as caught:
        decode([USER, {"role": "user", "content": [{"type": "text", "text": "a"}, part]}])
    assert (caught.value.code, caught.value.param) == (code, f"messages[1].content[1].{where}")


def test_consecutive_messages_of_one_role_are_joined() -> None:
    """User and assistant messages alike."""
    answer: JSON = {
        "role": "assistant",
        "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}],
    }
    assert _turns(USER, USER, answer, {"role": "assistant", "content": None, "refusal": "never"}, USER) == [
        ("user", [text("hi"), text("hi")]),
        ("assistant", [text("a"), text("no"), text("never")]),
        ("user", [text("hi")]),
    ]


def test_calls_and_results() -> None:
    """Results of one message are joined, in the order they came; the next user message joins them."""
    assert _turns(USER, CALLING, _tool("c2", ""), _tool("c1", [{"type": "text", "text": "21"}]), USER) == [
        ("user", [text("hi")]),
        ("assistant", [_use("c1", city="Paris"), _use("c2", "get_time")]),
        ("user", [_result("c2"), _result("c1", text("21")), text("hi")]),
    ]


def test_results_may_contain_images() -> None:
    """OpenAI does not allow that; the API does."""
    image: JSON = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    turns = _turns(USER, {"role": "assistant", "tool_calls": [call()]}, _tool("c1", [image]))
    assert turns[-1][1][0]["content"][0]["type"] == "image"


def test_legacy_function_messages() -> None:
    """Legacy calls have no ids: they are made from the index, and stay the same in later requests."""
    legacy: list[JSON] = [
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a":1}'}},
        {"role": "function", "name": "f", "content": "done"},
    ]
    assert _turns(*legacy)[1:] == [
        ("assistant", [_use("call_1", "f", a=1)]),
        ("user", [_result("call_1", text("done"))]),
    ]


def test_repeated_or_invalid_ids_are_renamed() -> None:
    """In the call and in its result; the API requires unique ids of plain characters."""
    turn: list[JSON] = [{"role": "assistant", "tool_calls": [call("call:0")]}, _tool("call:0")]
    request = decode([USER, *turn, *turn])
    ids = [
        block.get("id", block.get("tool_use_id")) for turn in request.body["messages"][1:] for block in turn["content"]
    ]
    assert ids == ["call_0", "call_0", "call_0-2", "call_0-2"]
    assert {code for code, _ in warned(request)} == {"renamed"}


def test_two_calls_with_one_id_get_their_results_in_order() -> None:
    """Some models give all calls of a message the same id."""
    calls: JSON = {"role": "assistant", "tool_calls": [call("a"), call("a", "get_time", ""), call("a", "third", "")]}
    request = decode([USER, calls, _tool("a", "1"), _tool("a", "2"), _tool("a", "3")], model=OLD)
    assert [turn["content"] for turn in request.body["messages"][1:]] == [
        [_use("a", city="Paris"), _use("a-2", "get_time"), _use("a-3", "third")],
        [_result("a", text("1")), _result("a-2", text("2")), _result("a-3", text("3"))],
    ]
    assert warned(request) == [("renamed", f"messages[1].tool_calls[{index}].id") for index in (1, 2)]


def test_a_missing_result_of_two_calls_with_one_id_is_named() -> None:
    """The error names the id once."""
    calls: JSON = {"role": "assistant", "tool_calls": [call("a"), call("a", "get_time", "")]}
    with pytest.raises(InvalidRequest) as caught:
        decode([USER, calls, _tool("a", "1"), USER])
    assert caught.value.code == "missing_tool_result"


@pytest.mark.parametrize(
    ("messages", "param", "words"),
    [
        ([USER, _tool("c9")], "messages[1].tool_call_id", "c9"),
        ([USER, CALLING, _tool("c1"), _tool("c1"), _tool("c2")], "messages[3].tool_call_id", "c1"),
        ([USER, CALLING, _tool("c1")], "messages[1]", "`c2`"),
        ([USER, CALLING, _tool("c2"), USER], "messages[1]", "before `messages[3]`; missing: `c1`"),
        ([USER, CALLING, CALLING], "messages[1]", "`c1`, `c2`"),
        ([USER, {"role": "function", "name": "f", "content": "x"}], "messages[1].name", "f"),
        ([USER, {"role": "assistant", "tool_calls": [{"id": "a"}]}], "messages[1].tool_calls[0].function", "Missing"),
        (
            [USER, {"role": "assistant", "tool_calls": [{"id": "a", "type": "custom", "custom": {}}]}],
            "messages[1].tool_calls[0].type",
            "Use `function`",
        ),
        ([], "messages", "length"),
        ([{"role": "robot", "content": "x"}], "messages[0].role", "robot"),
        ([{"content": "x"}], "messages[0].role", "Missing"),
        ([{"role": "user", "content": None}], "messages[0].content", "null"),
        ([{"role": "user", "content": " "}], "messages", "are empty"),
    ],
)
def test_invalid_messages_are_refused_by_path(messages: list[JSON], param: str, words: str) -> None:
    """The message names index and ids."""
    with pytest.raises(InvalidRequest) as caught:
        decode(messages)
    assert caught.value.param == param
    assert words in caught.value.message


@pytest.mark.parametrize("model", [OLD, NEWEST])
@pytest.mark.parametrize("role", ["user", "system"])
@pytest.mark.parametrize("content", ["", " \n", []])
def test_an_empty_last_message_never_becomes_a_prefill(model: str, role: str, content: JSON) -> None:
    """The error names the empty message. The assistant message before it is not continued."""
    answer: JSON = {"role": "assistant", "content": "x"}
    with pytest.raises(InvalidRequest) as caught:
        decode([USER, answer, {"role": role, "content": content}], model=model)
    assert (caught.value.code, caught.value.param) == ("empty_messages", "messages[2].content")
    assert "`messages[2]` is empty" in caught.value.message


def test_an_empty_message_elsewhere_is_left_out() -> None:
    """With a warning. A message that the client put last is the assistant's own, also after an empty one."""
    answer: JSON = {"role": "assistant", "content": "x"}
    empty: JSON = {"role": "user", "content": ""}
    assert _turns(USER, answer, empty, USER) == [
        ("user", [text("hi")]),
        ("assistant", [text("x")]),
        ("user", [text("hi")]),
    ]
    assert _turns(USER, empty, answer) == [("user", [text("hi")]), ("assistant", [text("x")])]


@pytest.mark.parametrize("written", ['{"city": "Os', "[]", "1", '"text"', "not JSON at all"])
def test_arguments_that_are_not_an_object_are_wrapped(written: str) -> None:
    """OpenAI accepts any text. A client whose model was cut during a call sends that text back."""
    messages: list[JSON] = [
        USER,
        {"role": "assistant", "tool_calls": [call(arguments=written)]},
        _tool("c1", "That is no JSON."),
    ]
    request = decode(messages)
    assert request.body["messages"][1]["content"][0]["input"] == {"arguments": written}
    assert warned(request) == [("mapped", "messages[1].tool_calls[0].function.arguments")]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("", {}),
        (" ", {}),
        ("null", {}),
        (None, {}),
        (r'{"a": "\ud83e"}', {"a": "\N{REPLACEMENT CHARACTER}"}),
        (r'{"a": ["\uDD8A", {"\ud83e\udd8a": 1}]}', {"a": ["\N{REPLACEMENT CHARACTER}", {"\N{FOX FACE}": 1}]}),
    ],
)
def test_arguments_as_models_write_them(written: str | None, read: JSON) -> None:
    """Empty ones, and lone surrogates, which are valid JSON but cannot be encoded."""
    messages: list[JSON] = [USER, {"role": "assistant", "tool_calls": [call(arguments=written)]}, _tool("c1")]
    request = decode(messages)
    assert request.body["messages"][1]["content"][0]["input"] == read
    assert warned(request) == []


def test_calls_without_ids_get_their_results_in_order() -> None:
    """Some clients leave the id empty; with a warning that the ids were changed."""
    calling: JSON = {"role": "assistant", "tool_calls": [call("", "f"), call("", "g")]}
    messages: list[JSON] = [USER, calling, _tool("", "of f"), _tool("", "of g")]
    request = decode(messages)
    calls, results = (message["content"] for message in request.body["messages"][1:])
    assert [block["name"] for block in calls] == ["f", "g"]
    assert [block["tool_use_id"] for block in results] == [block["id"] for block in calls]
    assert [block["content"] for block in results] == [
        [{"type": "text", "text": "of f"}],
        [{"type": "text", "text": "of g"}],
    ]
    assert {code for code, _ in warned(request)} == {"renamed"}
    with pytest.raises(InvalidRequest, match="without an id, number 2"):
        decode(messages[:3])


def test_a_blank_message_is_left_out_with_a_warning() -> None:
    """The API refuses blank text."""
    request = decode([USER, {"role": "user", "content": " \n"}])
    assert request.body["messages"] == [{"role": "user", "content": [text("hi")]}]
    assert warned(request) == [("ignored", "messages[1].content")]


def test_instructions_after_a_blank_user_message_are_the_system_prompt() -> None:
    """No message comes before them."""
    body = decode([{"role": "user", "content": ""}, {"role": "system", "content": "s"}, USER], model=NEWEST).body
    assert body["system"] == [text("s")]
    assert body["messages"] == [{"role": "user", "content": [text("hi")]}]


def test_names_of_participants_are_ignored_with_a_warning() -> None:
    """Without a warning for tools: a tool's name is known from its call."""
    messages: list[JSON] = [{**USER, "name": "ann"}, {"role": "assistant", "tool_calls": [call()]}]  # type: ignore[dict-item]
    request = decode([*messages, {"role": "tool", "tool_call_id": "c1", "content": "x", "name": "get_weather"}])
    assert warned(request) == [("ignored", "messages[0].name")]
