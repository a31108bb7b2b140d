"""The scripted Messages API: it finds the mark of a request, follows the plan of its case, and records each call."""

import asyncio
import contextlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from proof_case import Case, make_case
from proof_faults import Plan, make_plan
from proof_message import INVALID, Judgement, Object

_MARK = re.compile(rb"<<s(\d+)k(\d+)x(\d+)>>")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_NOT_FOUND = b'{"type": "error", "error": {"type": "not_found_error", "message": "Not found"}}'
_MAX_HEAD_BYTES = 1 << 20
_ENDS = (b"event: content_block_stop", b"event: message_delta")
_MODEL_SECONDS = 0.3
"""Between the first words and the end of a response that the runtime reads. No model is faster. The runtime calls again
some 9 ms after certain ends. A gateway that gets no processor time in these 9 ms can prevent it only before the end."""


def mark_text(case: Case, round_: int) -> str:
    """Return the mark of one request, as prompts contain it."""
    return f"<<{case.name}{round_}>>"


@dataclass
class Calls:
    """The calls of one case.

    Attributes:
        judgements: By round: what a client may receive for each call, in their order.
        pending: The number of calls that are being answered.
    """

    judgements: defaultdict[int, list[Judgement]] = field(default_factory=lambda: defaultdict(list))
    pending: int = 0


class ScriptedApi:
    """The API.

    Args:
        through_runtime: Whether the runtime calls it, not the gateway.

    Attributes:
        through_runtime: As given.
        url: Its address.
        calls: The calls by the name of their case. The reader deletes them.
        counts: The number of calls by the name of their case and their round, those included that came after their
            client had left.
        unknown: Requests for a message without a mark, which no client has sent.
    """

    def __init__(self, *, through_runtime: bool) -> None:
        self.through_runtime = through_runtime
        self.url = ""
        self.calls: defaultdict[str, Calls] = defaultdict(Calls)
        self.counts: Counter[tuple[str, int]] = Counter()
        self.unknown = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Listen on a free port of 127.0.0.1. Connections that are open at the end are aborted."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=_MAX_HEAD_BYTES, backlog=1024)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._answer(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request. Return whether the connection stays open."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1])) if length else b""
        marks = _MARK.findall(body) if head.startswith(b"POST /v1/messages") else []
        if not marks or b"/count_tokens" in head.partition(b"\r\n")[0]:
            self.unknown += head.startswith(b"POST /v1/messages ")
            writer.write(_refusal())
            return True
        seed, number, round_ = map(int, marks[-1])
        case = make_case(seed, number)
        calls = self.calls[case.name]
        plan = self._plan(case, round_, len(calls.judgements[round_]), json.loads(body))
        calls.judgements[round_].append(plan.judgement)
        self.counts[case.name, round_] += 1
        calls.pending += 1
        try:
            return await _send(plan, reader, writer, _MODEL_SECONDS if self.through_runtime else 0.0)
        finally:
            calls.pending -= 1

    def _plan(self, case: Case, round_: int, attempt: int, request: Object) -> Plan:
        if not request["stream"]:  # the runtime repeats a 404 in this way
            return Plan([_refusal()], INVALID)
        is_faulted = attempt < case.faulted_attempts and (round_ == 0) == (case.number % 3 > 0 or case.rounds == 1)
        thinking = request.get("thinking") or {}
        shows = thinking.get("type") in {"enabled", "adaptive"} and thinking.get("display") != "omitted"
        return make_plan(
            case.fault if is_faulted else "none",
            f"{case.name}{round_}a{attempt}",
            case.feature if round_ == 0 or case.feature == "schema" else "text",
            case.rng("plan", round_, attempt),
            thinks=shows,
            through_runtime=self.through_runtime,
        )


def _refusal() -> bytes:
    head = b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_NOT_FOUND)
    return head + _NOT_FOUND


async def _send(plan: Plan, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> bool:
    for number, part in enumerate(_before_and_after_end(plan.pieces) if seconds else [plan.pieces]):
        if number:
            await asyncio.sleep(seconds)
        for piece in part:
            writer.write(piece)
            if plan.pause:
                await asyncio.sleep(plan.pause)
            await writer.drain()
    if plan.ending == "stall":
        await reader.read(1)  # returns when the gateway closes the connection
    if plan.ending == "close":
        writer.close()
        await writer.wait_closed()
    return plan.ending == "keep"


def _before_and_after_end(pieces: Sequence[bytes]) -> list[list[bytes]]:
    """Return the pieces before the end of the first block, and the others. A piece in which it lies is split."""
    data = b"".join(pieces)
    place = next((at for end in _ENDS if (at := data.find(end)) > 0), 0)
    before: list[bytes] = []
    after: list[bytes] = []
    start = 0
    for piece in pieces:
        cut = min(max(place - start, 0), len(piece))
        before += [piece[:cut]] if cut else []
        after += [piece[cut:]] if cut < len(piece) else []
        start += len(piece)
    return [before, after] if before else [after]
