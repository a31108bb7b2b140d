"""Send a response, as one body or as server-sent events, with the faults that it has."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from dragoman.core.events import BlockDelta, MessageDelta, MessageEvent, MessageStart
from dragoman.core.messages import JSONObject
from dragoman.simulator.blocks import is_content_delta
from dragoman.simulator.context import RequestContext
from dragoman.simulator.faults import NO_FAULT, Fault
from dragoman.simulator.json_values import object_of
from dragoman.simulator.message import ScriptedMessage
from dragoman.simulator.state import State

_BUFFER_BYTES = 4096
_PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_GARBAGE = b'event: content_block_delta\ndata: {"type": "content_block_delta", "ind\n\n'
_SSE_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}

_HALF_CHARACTER = b"\xf0\x9f"

_Frame: TypeAlias = tuple[MessageEvent, bytes]
"""An event and its server-sent event."""

_encode = msgspec.json.Encoder().encode


class ResponseWriter:
    """Sends one response.

    Args:
        context: The request to answer.
        state: Says whether responses are held.
        fault: The response's fault.
        headers: The response headers, with the request id.
    """

    def __init__(self, context: RequestContext, state: State, fault: Fault, headers: Mapping[str, str]) -> None:
        self._context = context
        self._state = state
        self._fault = fault
        self._headers = headers
        self._buffer = bytearray()
        self._released = state.released.next_event()
        self._sent_deltas = 0
        self._is_fault_pending = fault.hold or fault.action is not None

    async def send(self, message: ScriptedMessage) -> None:
        """Send the message as one JSON body."""
        await self._wait_before_delta()
        await self._wait_if_held()
        if self._fault.action == "error":
            raise self._fault.error()
        if self._fault.action in ("cut", "silence"):
            await self._apply_action()
        body = _GARBAGE if self._fault.action == "garbage" else _encode(message.accumulated())
        await self._context.write_json(200, body, self._headers)

    async def stream(self, message: ScriptedMessage) -> None:
        """Send the message as a stream of events."""
        await self._context.start(200, {**self._headers, **_SSE_HEADERS})
        may_interrupt = self._fault is not NO_FAULT or self._state.is_holding
        frames = ((event, _frame(str(event.raw["type"]), event.raw)) for event in message.events())
        for event, frame in _edited(list(frames), self._fault) if self._fault.edit else frames:
            if may_interrupt and await self._interrupt_before(event):
                return
            self._buffer += frame
            if isinstance(event, MessageStart):
                self._buffer += _PING
            if len(self._buffer) >= _BUFFER_BYTES:
                await self._flush()
        await self._flush(last=self._fault.edit != "cut")
        if self._fault.edit == "cut":
            await self._cut()

    async def _interrupt_before(self, event: MessageEvent) -> bool:
        """Wait, and apply the fault if it is due before this event. Return whether the stream ends here."""
        is_end = isinstance(event, MessageDelta)
        if isinstance(event, BlockDelta):
            if not is_content_delta(object_of(event.raw["delta"])):
                return False
            await self._wait_before_delta()
        elif not is_end:
            return False
        ends = False
        if self._is_fault_pending and (is_end or self._sent_deltas >= (self._fault.after or 0)):
            self._is_fault_pending = False
            await self._flush()
            await self._wait_if_held()
            ends = await self._apply_action()
        self._sent_deltas += 1
        return ends

    async def _apply_action(self) -> bool:
        """Apply the fault's action. Return whether the stream ends with it."""
        match self._fault.action:
            case "error":
                body = self._fault.error().body(self._headers["request-id"])
                await self._context.write(_frame("error", body), last=True)
                return True
            case "garbage":
                self._buffer += _GARBAGE
            case "silence":
                await self._context.wait_for_disconnect()
            case "cut":
                await self._cut()
            case None:
                pass
        return False

    async def _cut(self) -> None:
        """Break the connection, after `pace`: clients drop what they have not read yet."""
        # One iteration of the event loop lets the transport write the data before.
        await asyncio.sleep(self._fault.pace)
        self._context.abort_connection()

    async def _wait_before_delta(self) -> None:
        is_first = self._sent_deltas == 0
        if seconds := self._fault.delay if is_first else self._fault.pace:
            await self._flush()
            await self._context.wait(asyncio.sleep(seconds))
        if is_first and self._state.is_holding:
            await self._flush()
            await self._context.wait(self._released.wait())

    async def _wait_if_held(self) -> None:
        if self._fault.hold:
            await self._context.wait(self._released.wait())

    async def _flush(self, *, last: bool = False) -> None:
        if self._buffer or last:
            data = bytes(self._buffer)
            self._buffer.clear()
            await self._context.write(data, last=last)


def _frame(event: str, data: JSONObject) -> bytes:
    """Return one server-sent event."""
    return b"event: " + event.encode() + b"\ndata: " + _encode(data) + b"\n\n"


def _edited(frames: Sequence[_Frame], fault: Fault) -> Sequence[_Frame]:
    """Return the frames of a response with the fault's edit. After a cut, the connection must be broken."""
    number = fault.event
    before, found, after = frames[:number], frames[number : number + 1], frames[number + 1 :]
    edits: dict[str | None, Sequence[_Frame]] = {
        "cut": before,
        "drop": [*before, *after],
        "repeat": [*before, *found, *found, *after],
        "swap": [*before, *after[:1], *found, *after[1:]],
        "halve": [*before, *((event, _halved(frame)) for event, frame in found), *after],
        "second message": [*frames, *frames],
    }
    return edits.get(fault.edit, frames)


def _halved(frame: bytes) -> bytes:
    """Return a frame with half of a UTF-8 character at the end of its last text."""
    start, quote, end = frame.rpartition(b'"')
    return start + _HALF_CHARACTER + quote + end
