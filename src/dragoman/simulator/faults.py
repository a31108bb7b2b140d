"""Faults: how a response can go wrong, and the lines of a prompt that cause them.

A line `Simulate: …` in the user's text causes a fault, without any access to the simulator. Several lines can be
combined.

| line | effect |
|---|---|
| `Simulate: status 529` | this HTTP status, with its default error type and message |
| `Simulate: status 400 invalid_request_error: some words` | the same with another type and message |
| `Simulate: retry-after 2` | this header in addition to the status |
| `Simulate: error after 3` | an SSE `error` event after 3 content deltas (`overloaded_error`) |
| `Simulate: error after 3 api_error: some words` | the same with another type and message |
| `Simulate: cut` | the connection breaks before the first byte |
| `Simulate: cut after 2` | the connection breaks after 2 content deltas, without `message_stop` |
| `Simulate: silence` | nothing is ever sent, not even headers |
| `Simulate: silence after 2` | the stream sends nothing more after 2 content deltas |
| `Simulate: garbage after 1` | a frame with invalid JSON after 1 content delta; the stream then continues |
| `Simulate: delay 0.5` | half a second before the first delta |
| `Simulate: pace 0.01` | 10 ms before each further delta |
| `Simulate: hold after 1` | waits after 1 content delta until `Simulator.release()` |
| `Simulate: stop max_tokens` | this stop reason, after the complete response |
| `Simulate: stop refusal after 2` | this stop reason after 2 content deltas; the rest is not sent |
| `Simulate: stop unknown` | a stop reason that the API does not have; `stop null`: none |
| `Simulate: cut event 3` | the connection breaks before the fourth event of the stream: events count from 0 |
| `Simulate: drop event 3` | this event is not sent; `repeat event 3`: sent twice; `swap event 3`: after the next one |
| `Simulate: halve event 3` | half of a UTF-8 character at the end of this event's last text |
| `Simulate: second message` | all events are sent twice |
| `Simulate: redacted thinking` | no fault: the response begins with a `redacted_thinking` block |
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, cast, get_args

import msgspec
from msgspec.structs import replace

from dragoman.simulator.errors import ApiError

Action = Literal["error", "cut", "silence", "garbage"]
StopReason = Literal[
    "max_tokens", "refusal", "pause_turn", "model_context_window_exceeded", "end_turn", "unknown", "null"
]
Edit = Literal["cut", "drop", "repeat", "swap", "halve", "second message"]


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one response goes wrong. All fields can be combined. The default is no fault.

    Attributes:
        status: The HTTP status to return instead of a message.
        error_type: The API's error type, of `status` or of the `error` event. The default is the status's own.
        message: The API's error message.
        headers: Further response headers, such as `retry-after`.
        action: What happens after `after` content deltas: an SSE `error` event, a broken connection, endless silence,
            or a frame with invalid JSON.
        hold: Wait after `after` content deltas until the simulator is released.
        stop_reason: End with this reason after `after` content deltas, or after the complete response without `after`.
        edit: What happens to the event with the number `event` of a stream. See the lines of prompts in this module.
        event: The number of an event, from 0.
        content: The content blocks of the response, whatever the prompt asks for.
        after: Content deltas (text, thinking, tool input) that are sent first. None: the fault happens before the first
            byte, headers included.
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
    edit: Edit | None = None
    event: int = 0
    content: Sequence[Mapping[str, object]] = ()
    after: int | None = None
    delay: float = 0.0
    pace: float = 0.0

    def error(self) -> ApiError:
        """Return the error of the response or of the `error` event. An event has no status, so it means overloaded."""
        return ApiError(self.status or 529, self.message, type_=self.error_type, headers=self.headers)


NO_FAULT = Fault()

_LINE = re.compile(r"^\s*Simulate:\s*(?P<command>\S.*?)\s*$", re.MULTILINE)
_ERROR_DETAILS = r"(?:\s+(?P<type>\w+_error)\b:?)?(?:\s*(?P<message>\S.*))?"
_STATUS = re.compile(rf"status\s+(?P<status>[2-5]\d\d){_ERROR_DETAILS}")
_ERROR = re.compile(rf"error(?:\s+after\s+(?P<after>\d+))?{_ERROR_DETAILS}")
_ACTION = re.compile(r"(?P<action>cut|silence|garbage|hold)(?:\s+after\s+(?P<after>\d+))?")
_STOP = re.compile(rf"stop\s+(?P<reason>{'|'.join(get_args(StopReason))})(?:\s+after\s+(?P<after>\d+))?")
_EDIT = re.compile(r"(?P<edit>cut|drop|repeat|swap|halve)\s+event\s+(?P<event>\d+)|second message")
_NUMBER = re.compile(r"(?P<name>delay|pace|retry-after)\s+(?P<number>\d+(?:\.\d+)?)")


def parse_fault(text: str) -> Fault:
    """Return the fault that a user's text asks for. Unknown commands have no effect."""
    fault = NO_FAULT
    if "Simulate:" in text:
        for line in _LINE.finditer(text):
            fault = _add_command(fault, line["command"])
    return fault


def _add_command(fault: Fault, command: str) -> Fault:
    if m := _STATUS.fullmatch(command):
        return replace(fault, status=int(m["status"]), error_type=m["type"], message=m["message"])
    if m := _ERROR.fullmatch(command):
        after = int(m["after"] or 0)
        return replace(fault, action="error", after=after, error_type=m["type"], message=m["message"])
    if m := _STOP.fullmatch(command):
        return replace(fault, stop_reason=cast("StopReason", m["reason"]), after=_optional_int(m["after"]))
    if m := _ACTION.fullmatch(command):
        return _add_action(fault, m["action"], _optional_int(m["after"]))
    if m := _NUMBER.fullmatch(command):
        return _add_number(fault, m["name"], m["number"])
    return _add_edit(fault, command)


def _add_action(fault: Fault, action: str, after: int | None) -> Fault:
    if action == "hold":
        return replace(fault, hold=True, after=after or 0)
    return replace(fault, action=cast("Action", action), after=after)


def _add_edit(fault: Fault, command: str) -> Fault:
    if (m := _EDIT.fullmatch(command)) is None:
        return fault
    return replace(fault, edit=cast("Edit", m["edit"] or command), event=int(m["event"] or 0))


def _add_number(fault: Fault, name: str, number: str) -> Fault:
    if name == "retry-after":
        return replace(fault, headers={**fault.headers, "retry-after": number})
    return replace(fault, delay=float(number)) if name == "delay" else replace(fault, pace=float(number))


def _optional_int(text: str | None) -> int | None:
    return None if text is None else int(text)
