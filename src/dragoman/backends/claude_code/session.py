"""One runtime process and the conversation in it: control requests, replay, turns."""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias, TypeVar, cast

import structlog

from dragoman.backends.claude_code.egress_block import EgressBlock
from dragoman.backends.claude_code.protocol import SERVER_NAME
from dragoman.backends.claude_code.tools import ToolServer
from dragoman.backends.shared.child_process import ChildProcess
from dragoman.backends.shared.message_reader import MessageReader, OutputReader
from dragoman.core.errors import GatewayError, TimedOut, UpstreamFailed
from dragoman.core.events import Event
from dragoman.core.messages import JSON, JSONObject

log = structlog.get_logger("dragoman.runtime")

_CONTROL_TIMEOUT = 30.0

_Answer = TypeVar("_Answer")

Answers: TypeAlias = Mapping[str, Callable[[JSONObject], JSONObject]]
"""What the runtime may ask of this side beside its tools: by the subtype of its request, what answers it."""


class Session:
    """The only user of a process.

    One turn at a time. Once a turn failed, was given up or is `spent`, the session is of no further use: `discard`.

    Attributes:
        on_end: Called once when the process ends by itself while nobody uses it.
    """

    def __init__(
        self, process: ChildProcess, *, silence: float, base_url: str | None = None, answers: Answers | None = None
    ) -> None:
        self._process = process
        self._answers = answers or {}
        self._silence = silence
        self._gate = EgressBlock(self._tell, base_url)
        self._limit = 0
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[JSONObject]] = {}
        self._results: deque[asyncio.Future[JSONObject]] = deque()
        self._turn: OutputReader | None = None
        self._tools = ToolServer(())
        self._events: deque[Event] = deque()
        self._news = asyncio.Event()
        self.settings: JSONObject = {}
        self.on_end: Callable[[], None] = lambda: None
        process.listen(self._take, self._end)

    @property
    def alive(self) -> bool:
        """Whether the process can be used."""
        return self._process.alive

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exited(self) -> "asyncio.Future[None]":
        """Done when the process is reaped."""
        return self._process.exited

    def discard(self) -> None:
        """Kill the process now, and fail the turn that it is in. Idempotent; that it is gone, `exited` tells."""
        self._process.kill()
        self._fail("it was stopped")

    async def control(self, subtype: str, fields: JSONObject, within: float = _CONTROL_TIMEOUT) -> JSONObject:
        """Make a control request and return its response.

        Args:
            subtype: The request's name.
            fields: The request's own fields.
            within: Seconds the process may take.

        Raises:
            UpstreamFailed: The process refused, or ended.
            TimedOut: It did not answer.
        """
        self._check()
        number = f"control_{next(self._numbers)}"
        answer: asyncio.Future[JSONObject] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        request: JSONObject = {"subtype": subtype, **fields}
        self._process.send({"type": "control_request", "request_id": number, "request": request})
        try:
            response = await _within(within, answer, f"`{subtype}`")
        finally:
            self._waiting.pop(number, None)
        if response.get("subtype") != "success":
            raise UpstreamFailed(f"Claude Code refused `{subtype}`.", code="runtime_failed")
        return cast("JSONObject", response.get("response") or {})

    async def configure(self, settings: JSONObject) -> None:
        """Set what holds for the next request; not sent again while it stays the same."""
        if settings != self.settings or self._gate.closed:
            await self.control("apply_flag_settings", {"settings": self._gate.opened(settings)})
        self.settings = settings

    async def begin(self, prompt: JSONObject, tools: list[str], settings: JSONObject) -> None:
        """Set what holds for the whole conversation, and for its first request. Once, before the first message.

        Args:
            prompt: The system prompt, as `systemPrompt` or `appendSystemPrompt`, and what else `initialize` takes.
            tools: Names of the client's tools.
            settings: For `configure`.
        """
        self._tools = ToolServer(tools)
        initialize = dict(prompt)
        if tools:
            initialize["sdkMcpServers"] = [SERVER_NAME]
        await asyncio.gather(self.control("initialize", initialize), self.configure(settings))
        if tools:
            await _within(_CONTROL_TIMEOUT, self._tools.listed.wait(), "with a question for its tools")

    async def append(self, batches: Iterable[list[JSONObject]]) -> None:
        """Put earlier messages into the conversation, waiting for each batch to be taken."""
        for batch in batches:
            self._check()
            taken: asyncio.Future[JSONObject] = asyncio.get_running_loop().create_future()
            self._results.append(taken)
            self._process.send(*batch)
            await _within(_CONTROL_TIMEOUT, taken, "a replayed message")

    def ask(
        self, frames: list[JSONObject], limit: int, reader: OutputReader | None = None
    ) -> AsyncGenerator[Event, None]:
        """Send the frames that ask, and yield the answer's events.

        Args:
            frames: The last of the conversation.
            limit: Tokens after which the answer is cut.
            reader: What understands the answer's frames; None: that of a single API call.

        Raises:
            GatewayError: The turn failed.
        """
        return self._turn_by(lambda: self._process.send(*frames), limit, reader)

    def go_on(self, results: Mapping[str, JSONObject], limit: int) -> AsyncGenerator[Event, None]:
        """Bring the results of parked calls, and yield the answer's events, as `ask` does."""
        return self._turn_by(lambda: self._tools.bring(results), limit)

    async def _turn_by(
        self, act: Callable[[], None], limit: int, reader: OutputReader | None = None
    ) -> AsyncGenerator[Event, None]:
        self._check()
        turn = self._turn = reader or MessageReader(self._tools.names)
        self._limit = limit
        act()
        while True:
            while self._events:
                yield self._events.popleft()
            if turn.outcome != "open":
                break
            await self._news_or_silence(None if turn.is_tool_running else self._silence)
        self._turn = None
        if turn.error is not None:
            raise turn.error

    async def finish(self) -> None:
        """Let the process end by itself, so that it writes down what it has in hand."""
        self._process.on_end = lambda _: None
        self._process.close_input()
        await asyncio.shield(self.exited)

    async def _news_or_silence(self, silence: float | None) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout(silence):
                await self._news.wait()
        except TimeoutError:
            self.discard()
            raise TimedOut(f"Claude gave no sign of life for {self._silence:g} seconds (--silence-timeout).") from None

    def _tell(self, settings: JSONObject) -> None:
        """Change settings without waiting for the answer, which nobody misses."""
        request: JSONObject = {"subtype": "apply_flag_settings", "settings": settings}
        self._process.send({"type": "control_request", "request_id": f"tell_{next(self._numbers)}", "request": request})

    def _check(self) -> None:
        if not self.alive:
            raise _gone(self._process.end_reason or "it was stopped")

    # Called by the process, in the event loop's own callback.

    def _take(self, frame: JSONObject) -> None:
        match frame.get("type"):
            case "control_response":
                self._answered(cast("JSONObject", frame["response"]))
            case "control_request":
                self._asked(str(frame["request_id"]), cast("JSONObject", frame["request"]))
            case "result" if self._results:
                taken = self._results.popleft()
                if not taken.done():  # a run that is being cancelled waits no longer, but has not discarded us yet
                    taken.set_result(frame)
            case _ if self._turn is not None:
                self._advance(self._turn, frame)
            case _:
                pass

    def _advance(self, turn: OutputReader, frame: JSONObject) -> None:
        self._events.extend(turn.feed(frame))
        if turn.outcome == "spent":
            # Before the runtime's next call leaves, some 9 ms from here.
            self._process.kill()
        elif turn.is_retrying:
            self._gate.open(self.settings)
        elif turn.byte_count >= self._limit or turn.must_not_continue:
            self._gate.close(self.settings)
        if self._events or turn.outcome != "open":
            self._news.set()

    def _answered(self, response: JSONObject) -> None:
        waiting = self._waiting.get(str(response.get("request_id")))
        if waiting is not None and not waiting.done():
            waiting.set_result(response)

    def _asked(self, number: str, request: JSONObject) -> None:
        """The runtime asks this side for something: of its tools, or what it was never offered."""
        if request.get("subtype") == "mcp_message":
            message = cast("JSONObject", request["message"])
            self._tools.take(message, lambda result: self._reply_to_tool(number, message.get("id"), result))
            return
        if (answer := self._answers.get(str(request.get("subtype")))) is not None:
            self._reply(number, {"subtype": "success", "response": answer(request)})
            return
        log.warning("runtime.asked", pid=self.pid, subtype=request.get("subtype"))
        self._reply(number, {"subtype": "error", "error": "This client does not offer that."})

    def _reply_to_tool(self, number: str, id_: JSON, result: JSONObject) -> None:
        answer: JSONObject = {"jsonrpc": "2.0", "id": id_, "result": result}
        self._reply(number, {"subtype": "success", "response": {"mcp_response": answer}})

    def _reply(self, number: str, response: JSONObject) -> None:
        self._process.send({"type": "control_response", "response": {**response, "request_id": number}})

    def _end(self, reason: str) -> None:
        log.warning("runtime.ended", pid=self.pid, reason=reason, stderr=self._process.stderr_tail)
        self._fail(reason)
        self.on_end()

    def _fail(self, reason: str) -> None:
        for future in (*self._waiting.values(), *self._results):
            if not future.done():
                future.set_exception(_gone(reason))
        self._results.clear()
        if self._turn is not None:
            self._turn.process_failed(reason)
            self._news.set()


def _gone(reason: str) -> GatewayError:
    return UpstreamFailed(
        f"The Claude Code process failed: {reason}. `dragoman doctor` tries it.", code="runtime_failed"
    )


async def _within(seconds: float, answer: Awaitable[_Answer], what: str) -> _Answer:
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError:
        raise TimedOut(f"The Claude Code process did not answer {what} within {seconds:g} seconds.") from None
