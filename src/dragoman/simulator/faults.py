"""What the API refuses, in the API's own words and shape.

Source: https://platform.claude.com/docs/en/api/errors

What shall go wrong with an answer, and how a prompt asks for it.

A user text with a line `Simulate: …` causes the fault without any access to the simulator. Several lines add up.

| line | what happens |
|---|---|
| `Simulate: status 529` | that HTTP status, with its usual error type and words |
| `Simulate: status 400 invalid_request_error: some words` | the same with a type and words of one's own |
| `Simulate: retry-after 2` | that header beside the status |
| `Simulate: error after 3` | an SSE `error` event after 3 content deltas (`overloaded_error`) |
| `Simulate: error after 3 api_error: some words` | the same with a type and words of one's own |
| `Simulate: cut` | the socket is cut before the first byte |
| `Simulate: cut after 2` | the socket is cut after 2 content deltas, without `message_stop` |
| `Simulate: silence` | nothing is ever answered, not even headers |
| `Simulate: silence after 2` | the stream falls silent after 2 content deltas |
| `Simulate: garbage after 1` | a frame that is no JSON after 1 content delta; the stream then goes on |
| `Simulate: delay 0.5` | half a second before the first delta |
| `Simulate: pace 0.01` | 10 ms before each further delta |
| `Simulate: hold after 1` | waits after 1 content delta until `Simulator.release()` |
| `Simulate: stop max_tokens` | that stop reason, after the whole answer |
| `Simulate: stop refusal after 2` | that stop reason after 2 content deltas; the rest is not said |
| `Simulate: redacted thinking` | no fault: the answer begins with a `redacted_thinking` block |
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, cast, get_args

import msgspec
from msgspec.structs import replace

from dragoman.core.messages import JSONObject

TYPES: Mapping[int, str] = MappingProxyType(
    {
        400: "invalid_request_error",
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        405: "invalid_request_error",
        413: "request_too_large",
        422: "invalid_request_error",
        429: "rate_limit_error",
        500: "api_error",
        503: "api_error",
        504: "timeout_error",
        529: "overloaded_error",
    }
)
"""The API's error type of each HTTP status."""

MESSAGES: Mapping[int, str] = MappingProxyType(
    {
        401: "invalid x-api-key",
        402: "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade "
        "or purchase credits.",
        403: "Your API key does not have permission to use the specified resource.",
        404: "Not found",
        413: "Request exceeds the maximum size",
        429: "This request would exceed your organization's rate limit. Please try again later.",
        500: "Internal server error",
        529: "Overloaded",
    }
)
"""What the API says with a status when there is nothing more to say."""


class ApiProblem(Exception):  # noqa: N818 - an answer of the API, not a fault of ours
    """The request is refused.

    Attributes:
        status: The HTTP status.
        type: The API's error type.
        message: The API's words.
        headers: More response headers (`retry-after`).
    """

    def __init__(
        self,
        status: int,
        message: str | None = None,
        *,
        type_: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.type = type_ or TYPES.get(status, "api_error")
        self.message = message if message is not None else MESSAGES.get(status, "Error")
        self.headers = dict(headers or {})
        super().__init__(self.message)

    def body(self, request_id: str) -> JSONObject:
        """The response body, and the data of an SSE `error` event."""
        return {
            "type": "error",
            "error": {"type": self.type, "message": self.message},
            "request_id": request_id,
        }


def refuse(message: str) -> ApiProblem:
    """A 400 `invalid_request_error` with these words; the caller raises it."""
    return ApiProblem(400, message)


Action = Literal["error", "cut", "silence", "garbage"]
StopReason = Literal["max_tokens", "refusal", "pause_turn", "model_context_window_exceeded", "end_turn"]


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes wrong with one answer. All fields may be combined; the default is that nothing does.

    Attributes:
        status: This HTTP status is answered instead.
        error_type: The API's error type, of `status` or of the `error` event; by default the status's own.
        message: The API's words beside it.
        headers: More response headers, such as `retry-after`.
        action: What happens after `after` content deltas: an SSE `error` event, the socket cut, silence for ever, or a
            frame that is no JSON.
        hold: Wait after `after` content deltas until the simulator is released.
        stop_reason: End with this reason after `after` content deltas, or after the whole answer where `after` is None.
        content: The model says these blocks, whatever it was asked.
        after: Content deltas (text, thinking, tool input) that are sent first. None is before the first byte, headers
            included.
        delay: Seconds before the first content delta.
        pace: Seconds before each further content delta.
    """

    status: int | None = None
    error_type: str | None = None
    message: str | None = None
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    action: Action | None = None
    hold: bool = False
    stop_reason: StopReason | None = None
    content: Sequence[Mapping[str, object]] = ()
    after: int | None = None
    delay: float = 0.0
    pace: float = 0.0

    def problem(self) -> ApiProblem:
        """The refusal, or the data of the `error` event (an event has no status of its own: overloaded)."""
        return ApiProblem(self.status or 529, self.message, type_=self.error_type, headers=self.headers)


NO_FAULT = Fault()

_LINE = re.compile(r"^\s*Simulate:\s*(?P<what>\S.*?)\s*$", re.MULTILINE)
_WORDS = r"(?:\s+(?P<type>\w+_error)\b:?)?(?:\s*(?P<message>\S.*))?"
_STATUS = re.compile(rf"status\s+(?P<status>[2-5]\d\d){_WORDS}")
_ERROR = re.compile(rf"error(?:\s+after\s+(?P<after>\d+))?{_WORDS}")
_ACTION = re.compile(r"(?P<action>cut|silence|garbage|hold)(?:\s+after\s+(?P<after>\d+))?")
_STOP = re.compile(rf"stop\s+(?P<reason>{'|'.join(get_args(StopReason))})(?:\s+after\s+(?P<after>\d+))?")
_NUMBER = re.compile(r"(?P<what>delay|pace|retry-after)\s+(?P<number>\d+(?:\.\d+)?)")


def fault_in(text: str) -> Fault:
    """The fault that a user's text asks for; lines that are not understood ask for none."""
    fault = NO_FAULT
    if "Simulate:" in text:
        for line in _LINE.finditer(text):
            fault = _with_line(fault, line["what"])
    return fault


def _with_line(fault: Fault, what: str) -> Fault:
    if m := _STATUS.fullmatch(what):
        return replace(fault, status=int(m["status"]), error_type=m["type"], message=m["message"])
    if m := _ERROR.fullmatch(what):
        after = int(m["after"] or 0)
        return replace(fault, action="error", after=after, error_type=m["type"], message=m["message"])
    if m := _STOP.fullmatch(what):
        return replace(fault, stop_reason=cast("StopReason", m["reason"]), after=_count(m["after"]))
    if m := _ACTION.fullmatch(what):
        return _with_action(fault, m["action"], _count(m["after"]))
    if m := _NUMBER.fullmatch(what):
        return _with_number(fault, m["what"], m["number"])
    return fault


def _with_action(fault: Fault, action: str, after: int | None) -> Fault:
    if action == "hold":
        return replace(fault, hold=True, after=after or 0)
    return replace(fault, action=cast("Action", action), after=after)


def _with_number(fault: Fault, what: str, number: str) -> Fault:
    if what == "retry-after":
        return replace(fault, headers={**fault.headers, "retry-after": number})
    return replace(fault, delay=float(number)) if what == "delay" else replace(fault, pace=float(number))


def _count(text: str | None) -> int | None:
    return None if text is None else int(text)
