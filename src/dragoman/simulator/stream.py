"""Sending an answer, whole or as server-sent events, with whatever is to go wrong on the way."""

import asyncio
from collections.abc import Mapping

import msgspec

from dragoman.core.events import BlockDelta, MessageDelta, MessageEvent, MessageStart
from dragoman.core.messages import JSONObject
from dragoman.simulator.exchange import Exchange
from dragoman.simulator.faults import NO_FAULT, Fault
from dragoman.simulator.message import Draft
from dragoman.simulator.state import State

_FLUSH = 4096
_PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_GARBAGE = b'event: content_block_delta\ndata: {"type": "content_block_delta", "ind\n\n'
_SAYS_NOTHING = frozenset({"signature_delta", "citations_delta"})
_SSE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}

_encode = msgspec.json.Encoder().encode


def frame(event: str, data: JSONObject) -> bytes:
    """One server-sent event."""
    return b"event: " + event.encode() + b"\ndata: " + _encode(data) + b"\n\n"


class Sender:
    """Sends one answer.

    Args:
        exchange: Where to.
        state: Whether answers are held.
        fault: What goes wrong.
        headers: Response headers, the request id among them.
    """

    def __init__(self, exchange: Exchange, state: State, fault: Fault, headers: Mapping[str, str]) -> None:
        self._exchange = exchange
        self._state = state
        self._fault = fault
        self._headers = headers
        self._buffer = bytearray()
        self._released = state.released.next()
        self._said = 0
        self._due = fault.hold or fault.action is not None

    async def plain(self, draft: Draft) -> None:
        """Answer at once, as one JSON body."""
        await self._wait_before_delta()
        await self._wait_while_held()
        if self._fault.action == "error":
            raise self._fault.problem()
        if self._fault.action in ("cut", "silence"):
            await self._act()
        garbage = self._fault.action == "garbage"
        await send_json(self._exchange, 200, _GARBAGE if garbage else _encode(draft.folded()), self._headers)

    async def stream(self, draft: Draft) -> None:
        """Answer as a stream of events."""
        await self._exchange.start(200, {**self._headers, **_SSE})
        careful = self._fault is not NO_FAULT or self._state.held
        for event in draft.events():
            if careful and await self._interfere(event):
                return
            self._buffer += frame(str(event.raw["type"]), event.raw)
            if isinstance(event, MessageStart):
                self._buffer += _PING
            if len(self._buffer) >= _FLUSH:
                await self._flush()
        await self._flush(last=True)

    async def _interfere(self, event: MessageEvent) -> bool:
        """Do what is due before this event; True where the stream ends here."""
        if isinstance(event, BlockDelta):
            kind = event.raw["delta"]["type"] if isinstance(event.raw["delta"], dict) else None
            if kind in _SAYS_NOTHING:
                return False
            await self._wait_before_delta()
        elif not isinstance(event, MessageDelta):
            return False
        ended = await self._do_what_is_due(at_end=isinstance(event, MessageDelta))
        self._said += 1
        return ended

    async def _do_what_is_due(self, *, at_end: bool) -> bool:
        if not self._due or not (at_end or self._said >= (self._fault.after or 0)):
            return False
        self._due = False
        await self._flush()
        await self._wait_while_held()
        return await self._act()

    async def _act(self) -> bool:
        match self._fault.action:
            case "error":
                problem = self._fault.problem().body(self._headers["request-id"])
                await self._exchange.write(frame("error", problem), last=True)
                return True
            case "garbage":
                self._buffer += _GARBAGE
            case "silence":
                await self._exchange.silence()
            case "cut":
                # A turn of the loop lets the transport write what was said before.
                await asyncio.sleep(0)
                self._exchange.cut()
            case None:
                pass
        return False

    async def _wait_before_delta(self) -> None:
        first = self._said == 0
        if seconds := self._fault.delay if first else self._fault.pace:
            await self._flush()
            await self._exchange.pause(asyncio.sleep(seconds))
        if first and self._state.held:
            await self._flush()
            await self._exchange.pause(self._released.wait())

    async def _wait_while_held(self) -> None:
        if self._fault.hold:
            await self._exchange.pause(self._released.wait())

    async def _flush(self, *, last: bool = False) -> None:
        if self._buffer or last:
            data = bytes(self._buffer)
            self._buffer.clear()
            await self._exchange.write(data, last=last)


async def send_json(exchange: Exchange, status: int, data: bytes, headers: Mapping[str, str]) -> None:
    """Answer with one JSON body."""
    length = {"content-type": "application/json", "content-length": str(len(data))}
    await exchange.start(status, {**headers, **length})
    await exchange.write(data, last=True)
