"""Encoding of responses, streams and errors of the Messages API."""

import json
from collections.abc import Iterator

import pytest
from messages_support import decode, dialect

from dragoman.core import errors
from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.errors import GatewayError
from dragoman.core.events import MessageEvent, MessageStart, MessageStop
from dragoman.core.messages import Block, FinalMessage, JSONObject
from dragoman.dialects.base import ResponseIdentity
from dragoman.dialects.messages.errors import STATUSES
from dragoman.dialects.shared.errors import status_of

IDENTITY = ResponseIdentity("run_1", 0)
API_TYPES = {
    "invalid_request_error": {400, 408, 415, 422},  # "also for other 4XX status codes"
    "authentication_error": {401},
    "billing_error": {402},
    "permission_error": {403},
    "not_found_error": {404},
    "conflict_error": {409},
    "request_too_large": {413},
    "rate_limit_error": {429},
    "api_error": {499, 500, 501, 502, 503},
    "timeout_error": {504},
    "overloaded_error": {529},
}


def error_classes(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    """Return a class of ours and its subclasses."""
    yield kind
    for below in kind.__subclasses__():
        if below.__module__.startswith("dragoman."):
            yield from error_classes(below)


def test_a_plain_response_is_the_message() -> None:
    """With whatever is in it."""
    message: FinalMessage = {"id": "msg_1", "content": [{"type": "of_tomorrow", "inside": [1]}], "stop_reason": None}
    answer = [AccumulatedMessage(message, {})]
    assert json.loads(dialect().encode(decode(), IDENTITY, answer)) == message
    assert dialect().invalid_choices(decode(), answer) == {}
    assert dialect().response_warnings(decode(), answer) == ()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('{"text": "once up', {}),
        ('{"path": "a/b", "text": "once up', {"path": "a/b"}),
        ('{"list": [1, {"a": 2}, {"b": "c', {"list": [1, {"a": 2}, {}]}),
        ('{"text', {}),
        ("", {}),
        ("[1, 2]", {}),
    ],
)
def test_the_input_of_a_call_is_an_object(written: str, read: JSONObject) -> None:
    """Of a call that a limit cut, what is complete. Half a text is not: a client may run the call."""
    block: Block = {"type": "tool_use", "id": "toolu_1", "name": "say", "input": written}
    message: FinalMessage = {"id": "msg_1", "content": [block], "stop_reason": "max_tokens"}
    encoded = json.loads(dialect().encode(decode(), IDENTITY, [AccumulatedMessage(message, {0: written})]))
    assert encoded == {**message, "content": [{**block, "input": read}]}


def test_events_are_passed_on_unchanged() -> None:
    """Each under its own name; nothing after the last."""
    stream = dialect().encode_stream(decode(stream=True), IDENTITY)
    start: JSONObject = {"type": "message_start", "message": {"content": []}, "of_tomorrow": "\n"}
    events: list[MessageEvent] = [MessageStart(start), MessageStop({"type": "message_stop"})]
    encoded = b"".join(map(stream.feed, events)) + stream.finish()
    assert encoded == (
        b'event: message_start\ndata: {"type":"message_start","message":{"content":[]},"of_tomorrow":"\\n"}\n\n'
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    )
    assert stream.feed(events[0]) == b""
    assert stream.fail(errors.TimedOut("Too late.")) == b""


def test_an_error_is_the_last_event() -> None:
    """With its own event name."""
    stream = dialect().encode_stream(decode(stream=True), IDENTITY)
    error = errors.Overloaded("Later.").with_request_id("req_1")
    encoded = stream.fail(error)
    assert encoded.startswith(b"event: error\ndata: ")
    assert json.loads(encoded.split(b"data: ")[1]) == {
        "type": "error",
        "error": {
            "type": "overloaded_error",
            "message": "Later.",
            "details": {"code": "overloaded", "param": None},
        },
        "request_id": "req_1",
    }
    assert stream.failure is error
    assert stream.feed(MessageStop({"type": "message_stop"})) == b""


@pytest.mark.parametrize("cause", list(error_classes(GatewayError)), ids=lambda cause: cause.__name__)
def test_every_error_has_a_type_of_the_api(cause: type[GatewayError]) -> None:
    """With a status that the API uses for it."""
    reply = dialect().encode_error(cause("Something happened.", param="messages"))
    error = json.loads(reply.body)["error"]
    assert reply.status in API_TYPES[error["type"]]
    assert error["details"]["param"] == "messages"


def test_an_error_without_a_row_is_encoded_like_its_parent() -> None:
    """`QueueFull` has no row of its own."""
    assert status_of(errors.QueueFull("Full."), STATUSES) == STATUSES[errors.RateLimited]
