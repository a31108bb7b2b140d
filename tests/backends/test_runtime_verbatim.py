"""Requests of the Messages API itself, as the runtime takes them."""

import pytest

from dragoman.backends.base import RunRequest
from dragoman.backends.claude_code.translate import translate_request
from dragoman.core.catalog import Catalog
from dragoman.core.errors import InvalidRequest, UpstreamFailed
from dragoman.core.messages import BareText, Block, Message, MessagesRequest, RequestOptions

ASK = Message(role="user", content=BareText("Hello"))


def request(*messages: Message, request_options: RequestOptions, **body: object) -> RunRequest:
    """Return a request as the Messages dialect makes it."""
    canonical: MessagesRequest = {"model": "claude-opus-5", "messages": list(messages), **body}  # type: ignore[typeddict-item]
    return RunRequest("run_test", Catalog().resolve("claude-opus-5").model, canonical, request_options)


OPTIONS = RequestOptions("2023-06-01", ("one", "two"), verbatim=True)


def test_betas_belong_to_the_conversation() -> None:
    """A process sends the betas of its first request with every later one."""
    answer = Message(role="assistant", content=BareText("Hi"))
    with_them = translate_request(request(ASK, answer, ASK, request_options=OPTIONS))
    without = translate_request(request(ASK, answer, ASK, request_options=RequestOptions(verbatim=True)))
    assert with_them.settings["env"]["ANTHROPIC_BETAS"] == "one,two"  # type: ignore[index, call-overload]
    assert with_them.conversation != without.conversation


def test_unsupported_fields_cause_warnings() -> None:
    """Each warning names the field as the client wrote it."""
    message: Message = {"role": "system", "content": BareText("Continue."), "output_config": {}}  # type: ignore[typeddict-unknown-key]
    planned = translate_request(
        request(ASK, message, request_options=RequestOptions("2026-10-21", verbatim=True), metadata={})
    )
    assert [(warning.code, warning.param) for warning in planned.warnings] == [
        ("moved", "messages"),
        ("ignored", "metadata"),
        ("ignored", "anthropic-version"),
        ("ignored", "messages[1].output_config"),
    ]
    assert translate_request(request(ASK, request_options=OPTIONS)).warnings == ()


def test_an_empty_prefill() -> None:
    """An assistant message without content at the end is dropped."""
    for empty in (BareText(""), list[Block]()):
        planned = translate_request(request(ASK, Message(role="assistant", content=empty), request_options=OPTIONS))
        assert planned.messages == [ASK]


def test_empty_messages() -> None:
    """Any other message without content is refused by name."""
    empty = Message(role="assistant", content=[])
    with pytest.raises(InvalidRequest) as refused:
        translate_request(request(ASK, empty, ASK, request_options=OPTIONS))
    assert refused.value.param == "messages[1].content"


def test_a_paused_search_is_refused() -> None:
    """The runtime cannot continue a search. The error says so."""
    paused = Message(role="assistant", content=[{"type": "server_tool_use", "id": "s", "name": "web_search"}])
    with pytest.raises(UpstreamFailed) as refused:
        translate_request(request(ASK, paused, request_options=OPTIONS))
    assert refused.value.code == "turn_paused"
