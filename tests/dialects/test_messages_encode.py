"""Answers, streams and errors as the Messages API says them."""

import json
from collections.abc import Iterator

import pytest
from messages_support import decode, dialect

from dragoman.core import errors
from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.errors import GatewayError
from dragoman.core.events import MessageEvent, MessageStart, MessageStop
from dragoman.core.messages import FinalMessage, JSONObject
from dragoman.dialects.base import ResponseIdentity
from dragoman.dialects.messages.response import STATUSES
from dragoman.dialects.shared.errors import status_of

SOMEONE = ResponseIdentity("run_1", 0)
API_TYPES = {
    "invalid_request_error": {400},
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


def causes(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    """A cause of ours, and those under it."""
    yield kind
    for below in kind.__subclasses__():
        if below.__module__.startswith("dragoman."):
            yield from causes(below)


def test_whole_answer() -> None:
    """The message itself, with whatever is in it."""
    message: FinalMessage = {"id": "msg_1", "content": [{"type": "of_tomorrow", "inside": [1]}], "stop_reason": None}
    answer = [AccumulatedMessage(message, {})]
    assert json.loads(dialect().encode(decode(), SOMEONE, answer)) == message
    assert dialect().invalid_choices(decode(), answer) == {}
    assert dialect().response_warnings(decode(), answer) == ()


def test_stream() -> None:
    """Each event as it came, under its own name; nothing after the last."""
    stream = dialect().encode_stream(decode(stream=True), SOMEONE)
    start: JSONObject = {"type": "message_start", "message": {"content": []}, "of_tomorrow": "\n"}
    events: list[MessageEvent] = [MessageStart(start), MessageStop({"type": "message_stop"})]
    said = b"".join(map(stream.feed, events)) + stream.finish()
    assert said == (
        b'event: message_start\ndata: {"type":"message_start","message":{"content":[]},"of_tomorrow":"\\n"}\n\n'
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    )
    assert stream.feed(events[0]) == b""
    assert stream.fail(errors.TimedOut("Too late.")) == b""


def test_failed_stream() -> None:
    """An error is an event of its own, and the last."""
    stream = dialect().encode_stream(decode(stream=True), SOMEONE)
    error = errors.Overloaded("Later.").with_request_id("req_1")
    said = stream.fail(error)
    assert said.startswith(b"event: error\ndata: ")
    assert json.loads(said.split(b"data: ")[1]) == {
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


@pytest.mark.parametrize("cause", list(causes(GatewayError)), ids=lambda cause: cause.__name__)
def test_every_cause(cause: type[GatewayError]) -> None:
    """Every cause has a type of the API's own, with a status that goes with it."""
    reply = dialect().encode_error(cause("Something happened.", param="messages"))
    error = json.loads(reply.body)["error"]
    assert reply.status in API_TYPES[error["type"]]
    assert error["details"]["param"] == "messages"


def test_table_of_causes() -> None:
    """A cause without a row is answered like its parent."""
    assert status_of(errors.QueueFull("Full."), STATUSES) == STATUSES[errors.RateLimited]
