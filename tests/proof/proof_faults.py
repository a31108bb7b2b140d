"""The faults: from the events of a message to the bytes that the API sends, and what a client may receive for them."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from proof_message import INVALID, UNKNOWN, Feature, Judgement, Object, judge, scripted

from dragoman.core.value_object import replace

API_KEY = "sk-ant-proof-3f9c2b7d1e8a4056"
"""The gateway's key for the API. No client may ever see it."""

Ending: TypeAlias = Literal["keep", "close", "abort", "stall"]

_STATUSES = (400, 401, 402, 403, 404, 408, 409, 413, 418, 422, 429, 500, 501, 502, 503, 504, 529, 204, 302)
_TYPES = ("invalid_request_error", "authentication_error", "rate_limit_error", "api_error", "overloaded_error", "new")
_WRONG: tuple[object, ...] = (None, 7, "x", [], {}, True, -1.5)
_STREAM_HEAD = "content-type: text/event-stream; charset=utf-8\r\nrequest-id: req_proof"
_MAX_HEAD_BYTES = 70_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How the API answers one attempt.

    Attributes:
        pieces: The bytes, in the writes that send them.
        judgement: What a client may receive.
        ending: What happens to the connection afterwards.
        pause: Seconds between two writes.
    """

    pieces: Sequence[bytes]
    judgement: Judgement
    ending: Ending = "keep"
    pause: float = 0.0


@dataclass(slots=True)
class Script:
    """The answer to one attempt, before its fault. `through_runtime`: whether the runtime reads it, not the gateway."""

    events: list[Object]
    feature: Feature
    rng: random.Random
    through_runtime: bool

    def judged(self) -> Judgement:
        """Return what a client may receive for the events as they are now."""
        return judge(self.events, feature=self.feature, hides_late=self.through_runtime)

    def frames(self, line_end: bytes = b"\n") -> list[bytes]:
        """Return each event as bytes."""
        return [_frame(event, line_end) for event in self.events]


def make_plan(
    fault: str, mark: str, feature: Feature, rng: random.Random, *, thinks: bool, through_runtime: bool
) -> Plan:
    """Return how the API answers one attempt.

    Args:
        fault: The kind of fault.
        mark: The mark of the request and the attempt.
        feature: The kind of message.
        rng: Chooses everything else.
        thinks: Whether the request shows thinking.
        through_runtime: Whether the runtime reads the answer, not the gateway.
    """
    script = Script(scripted(mark, feature, rng, thinks=thinks), feature, rng, through_runtime)
    return _FAULTS[fault](script)


def _frame(event: object, line_end: bytes = b"\n") -> bytes:
    name = event.get("type", "") if isinstance(event, dict) else ""
    data = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    return b"event: %b%bdata: %b%b%b" % (str(name).encode(), line_end, data, line_end, line_end)


def _streamed(
    frames: Sequence[bytes], judgement: Judgement, rng: random.Random, ending: Ending = "keep", pause: float = 0.0
) -> Plan:
    """Return a plan that sends frames in chunks, one for each, or with a length."""
    if rng.random() < 0.8:
        head = f"HTTP/1.1 200 OK\r\n{_STREAM_HEAD}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        chunks = [b"%x\r\n%b\r\n" % (len(frame), frame) for frame in frames]
        return Plan([head, *chunks[:-1], chunks[-1] + b"0\r\n\r\n"], judgement, ending, pause)
    length = sum(map(len, frames))
    head = f"HTTP/1.1 200 OK\r\n{_STREAM_HEAD}\r\ncontent-length: {length}\r\n\r\n".encode()
    return Plan([head, *frames], judgement, ending, pause)


def _none(script: Script) -> Plan:
    return _streamed(script.frames(), script.judged(), script.rng)


def _torn(script: Script) -> Plan:
    """Send writes that end anywhere, also inside a character."""
    return replace(plan := _none(script), pieces=_cut(b"".join(plan.pieces), script.rng, script.rng.randint(2, 60)))


def _slow(script: Script) -> Plan:
    return replace(_torn(script), pause=0.004)


def _cut(data: bytes, rng: random.Random, count: int) -> list[bytes]:
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(count))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def _odd_framing(script: Script) -> Plan:
    """Send what the format of event streams allows: other line ends, comments, fields, a mark of order, no length."""
    rng = script.rng
    body = b"".join(script.frames(rng.choice([b"\n", b"\r\n", b"\r"])))
    body = rng.choice([b"", b"\xef\xbb\xbf", b": comment\n\n", b"retry: 5\nid: 1\n\n"]) + body
    body += rng.choice([b"", b"data: [DONE]\n\n", b": end\n\n", b"\n\n\n"])
    if rng.random() < 0.5:
        head = f"HTTP/1.1 200 OK\r\n{_STREAM_HEAD}\r\nconnection: close\r\n\r\n".encode()
        return Plan([head, *_cut(body, rng, 9)], script.judged(), "close")
    head = f"HTTP/1.1 200 Fine\r\n{_STREAM_HEAD}\r\nTransfer-Encoding: chunked\r\nx-odd:\r\n\r\n".encode()
    chunks = [b"%X;ext=1\r\n%b\r\n" % (len(part), part) for part in _cut(body, rng, 9) if part]
    return Plan([head, *chunks, b"0\r\ntrailer: x\r\n\r\n"], script.judged())


def _unknown_events(script: Script) -> Plan:
    for _ in range(3):
        event: Object = script.rng.choice([{"type": "ping"}, {"type": "vendor.new", "value": [1]}])
        script.events.insert(script.rng.randrange(1, len(script.events) + 1), event)
    judged = script.judged()
    return _streamed(script.frames(), replace(judged, kind="valid"), script.rng)


def _status(script: Script) -> Plan:
    rng = script.rng
    status = rng.choice(_STATUSES)
    error = {"type": "error", "error": {"type": rng.choice(_TYPES), "message": "A scripted error"}}
    bodies = [json.dumps(error).encode()] * 4
    bodies += [b"<html>proxy</html>", b"", b'{"error": "text"}', b'{"type": "err', b"[]", b"\xff\xfe"]
    extra = rng.choice(["", "", "retry-after: 0\r\n", "retry-after: never\r\n", "x-should-retry: false\r\n"])
    return Plan([_plain(status, rng.choice(bodies) if status != 204 else b"", extra)], INVALID)


def _plain(status: int, body: bytes, extra: str = "") -> bytes:
    head = f"HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\n{extra}"
    length = "" if status == 204 else f"content-length: {len(body)}\r\n"
    return f"{head}{length}\r\n".encode() + body


def _key_echoed(script: Script) -> Plan:
    """Send the key back: in a refusal, or in an error in the middle of a stream."""
    rng = script.rng
    message = rng.choice([f"bad key {API_KEY}", f"headers: {{'x-api-key': '{API_KEY}'}}", f"a{API_KEY}z", API_KEY])
    error = {"type": "error", "error": {"type": rng.choice(_TYPES), "message": message}}
    if rng.random() < 0.5:
        return Plan([_plain(rng.choice(_STATUSES[:-2]), json.dumps(error).encode())], INVALID)
    return _ended_by(script, error, rng.randrange(len(script.events)))


def _error_event(script: Script) -> Plan:
    place = script.rng.randrange(len(script.events))
    error = {"type": script.rng.choice(_TYPES), "message": "A scripted error"}
    return _ended_by(script, {"type": "error", "error": script.rng.choice([error, error, "text", None, {}])}, place)


def _ended_by(script: Script, error: Object, place: int) -> Plan:
    """Send an error in place of the rest. Behind the stop reason the runtime's reader may have what it needs."""
    is_complete = script.through_runtime and any(event["type"] == "message_delta" for event in script.events[:place])
    judgement = replace(script.judged(), kind="either") if is_complete else INVALID
    script.events[place:] = [error]
    return _streamed(script.frames(), judgement, script.rng)


def _broken_off(ending: Ending) -> Callable[[Script], Plan]:
    def fault(script: Script) -> Plan:
        """Send the first bytes of the answer. The answer counts only if `message_stop` may have been received."""
        plan = _streamed(script.frames(), script.judged(), script.rng)
        data = b"".join(plan.pieces)
        place = script.rng.randrange(len(data))
        judgement = plan.judgement if place > len(data) - len(plan.pieces[-1]) else INVALID
        either = INVALID if judgement.kind == "invalid" else replace(judgement, kind="either")
        return Plan(_cut(data[:place], script.rng, 3), either, ending)

    return fault


def _doubled(script: Script) -> Plan:
    place = script.rng.randrange(len(script.events))
    script.events.insert(place, script.events[place])
    return _none(script)


def _dropped(script: Script) -> Plan:
    del script.events[script.rng.randrange(len(script.events))]
    return _without_signature(script)


def _out_of_order(script: Script) -> Plan:
    event = script.events.pop(script.rng.randrange(len(script.events)))
    script.events.insert(script.rng.randrange(len(script.events) + 1), event)
    return _without_signature(script)


def _without_signature(script: Script) -> Plan:
    """Return the plan. Thinking without its signature may also be refused."""
    judged = script.judged()
    is_thinking = script.feature == "thinking" and judged.kind == "valid"
    return _streamed(script.frames(), replace(judged, kind="either") if is_thinking else judged, script.rng)


def _cut_utf8(script: Script) -> Plan:
    """Take one byte out of a character, or put one in that belongs to none.

    The runtime replaces what it cannot decode by U+FFFD, which an answer may contain. So the gateway cannot see it.
    """
    frames = script.frames()
    place = script.rng.randrange(len(frames))
    frame = frames[place]
    inside = [index for index, byte in enumerate(frame) if byte >= 0x80]
    if inside:
        at = script.rng.choice(inside)
        frames[place] = frame[:at] + frame[at + 1 :]
    else:
        at = frame.rindex(b'"')
        frames[place] = frame[:at] + script.rng.choice([b"\xff", b"\xc3", b"\xf0\x9f"]) + frame[at:]
    # A key that cannot be read is one that is missing: the rest of the event may still be valid.
    return _streamed(frames, UNKNOWN if script.through_runtime else INVALID, script.rng)


def _half_character(script: Script) -> Plan:
    for event in script.events:
        if event.get("delta", {}).get("type") == "text_delta" and "😀" in event["delta"]["text"]:
            event["delta"]["text"] = event["delta"]["text"].replace("😀", "\ud83d")
    frames = [
        b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode()) for event in script.events
    ]
    return _streamed(frames, script.judged(), script.rng)


def _wrong_type(script: Script) -> Plan:
    """Put a value of another type anywhere. What the answer does not need may be accepted or refused."""
    event = json.loads(json.dumps(script.rng.choice(script.events)))
    place = next(index for index, other in enumerate(script.events) if other == event)
    parent, key = script.rng.choice(list(_places(event)))
    parent[key] = script.rng.choice([value for value in _WRONG if type(value) is not type(parent[key])])
    script.events[place] = event
    judged = script.judged()
    return _streamed(script.frames(), replace(judged, kind="either") if judged.kind == "valid" else judged, script.rng)


def _places(value: Object) -> list[tuple[dict[str, Any], str]]:
    places = [(value, key) for key in value]
    for inner in value.values():
        places += _places(inner) if isinstance(inner, dict) else []
    return places


def _second_message(script: Script) -> Plan:
    """Send a second message: after the first, before its end, or in place of its end."""
    other = scripted("second-", "text", script.rng, thinks=False)
    end = script.rng.choice([len(script.events), len(script.events) - 1, len(script.events) - 2])
    rest = script.events[end:] if script.rng.random() < 0.5 else []
    script.events[end:] = [*other, *rest]
    return _none(script)


def _stop_reason(script: Script) -> Plan:
    delta = script.events[-2]["delta"]
    value = script.rng.choice([None, "new_reason", "", 7, "END_TURN", "missing"])
    if value == "missing":
        del delta["stop_reason"]
    else:
        delta["stop_reason"] = value
    return _none(script)


def _not_http(script: Script) -> Plan:
    """Break the protocol: a line that is no status, a chunk without a size, a head without end."""
    rng = script.rng
    plan = _streamed(script.frames(), INVALID, rng)
    head, *rest = plan.pieces
    choice = rng.randrange(5)
    if choice == 0:
        return Plan([b"ICY 200 OK\r\n" + head.partition(b"\r\n")[2], *rest], INVALID, "close")
    if choice == 1:
        return Plan([head[:-2] + b"x-long: " + b"y" * _MAX_HEAD_BYTES, *rest], INVALID, "close")
    if choice == 2:
        chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"
        return Plan([chunked, *rest], INVALID, "close")
    if choice == 3:
        return Plan([b"\x00\x01\x02\x03" * 8], INVALID, "close")
    return Plan([head[: rng.randrange(1, len(head) - 3)]], INVALID, "abort")


def _not_a_stream(script: Script) -> Plan:
    """Send a successful status with a body that is no stream of events."""
    rng = script.rng
    bodies = [
        b"",
        b"{}",
        b"null",
        b"<html>sign in</html>",
        b"data: {\n\n",
        b"data: 7\n\n",
        b"data: []\n\n",
        b"\x00" * 99,
    ]
    body = rng.choice(bodies)
    kind = rng.choice(["application/json", "text/html", "text/event-stream"])
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return Plan([head.encode() + body], INVALID)


_FAULTS: Mapping[str, Callable[[Script], Plan]] = {
    "none": _none,
    "torn bytes": _torn,
    "slow bytes": _slow,
    "odd framing": _odd_framing,
    "unknown events": _unknown_events,
    "status": _status,
    "error event": _error_event,
    "key echoed": _key_echoed,
    "reset": _broken_off("abort"),
    "closed": _broken_off("close"),
    "stall": _broken_off("stall"),
    "doubled": _doubled,
    "dropped": _dropped,
    "out of order": _out_of_order,
    "cut UTF-8": _cut_utf8,
    "half character": _half_character,
    "wrong type": _wrong_type,
    "second message": _second_message,
    "stop reason": _stop_reason,
    "not HTTP": _not_http,
    "not a stream": _not_a_stream,
}
