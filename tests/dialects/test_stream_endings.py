"""The end of a streamed message, whose stop reason and usage the API may report in several events."""

import completions_support
import pytest
import responses_support
from chat_support import chunks, decode, passed_on, script, streamed, text

from dragoman.core.events import MessageDelta, MessageEvent
from dragoman.core.messages import JSONObject

STEPS = [("max_tokens",), (None, "max_tokens"), (None, None, "max_tokens"), ("max_tokens", "max_tokens")]


def in_steps(*reasons: str | None) -> list[MessageEvent]:
    """Return a response with one `message_delta` for each of these stop reasons, and 10 more output tokens in each."""
    *begun, _, stop = script([text("abc")])
    deltas: list[MessageEvent] = []
    for count, reason in enumerate(reasons, 1):
        delta: JSONObject = {"stop_reason": reason, "stop_sequence": None}
        deltas.append(MessageDelta({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 10 * count}}))
    return [*begun, *deltas, stop]


@pytest.mark.parametrize("reasons", STEPS)
def test_a_chat_completion_has_one_finish_reason(reasons: tuple[str | None, ...]) -> None:
    """That of the event with the stop reason. The usage is that of the last event."""
    request = decode(stream=True, stream_options={"include_usage": True})
    found = chunks(streamed(request, passed_on(in_steps(*reasons))))
    finished = [one["finish_reason"] for chunk in found for one in chunk["choices"] if one["finish_reason"]]
    assert finished == ["length"]
    assert found[-1]["usage"]["completion_tokens"] == 10 * len(reasons)


@pytest.mark.parametrize("reasons", STEPS)
def test_a_text_completion_has_one_finish_reason(reasons: tuple[str | None, ...]) -> None:
    """The same as for chat."""
    request = completions_support.decode("Hi", stream=True)
    found = chunks(completions_support.streamed(request, passed_on(in_steps(*reasons))))
    finished = [one["finish_reason"] for chunk in found for one in chunk["choices"] if one["finish_reason"]]
    assert finished == ["length"]


@pytest.mark.parametrize("reasons", STEPS)
def test_a_response_ends_once_and_is_incomplete(reasons: tuple[str | None, ...]) -> None:
    """Its last item has the same status."""
    stream = responses_support.streamed(responses_support.decode(stream=True), in_steps(*reasons))
    events = responses_support.parse_events(stream)
    [done] = [event for event in events if event["type"] == "response.output_item.done"]
    assert done["item"]["status"] == "incomplete"
    assert events[-1]["type"] == "response.incomplete"


def test_a_response_without_a_stop_reason_ends() -> None:
    """The gateway does not wait for an event that does not come."""
    found = chunks(streamed(decode(stream=True), passed_on(in_steps(None))))
    assert [one["finish_reason"] for chunk in found for one in chunk["choices"]][-1] == "stop"
    events = responses_support.parse_events(responses_support.streamed(responses_support.decode(), in_steps(None)))
    assert events[-1]["type"] == "response.completed"
