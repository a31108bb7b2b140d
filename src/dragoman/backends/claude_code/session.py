"""One runtime process and the conversation in it: control requests, replay, turns."""

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias, TypeVar, cast

from dragoman.backends.claude_code.egress_block import EgressBlock
from dragoman.backends.claude_code.protocol import SERVER_NAME
from dragoman.backends.claude_code.resume import TranscriptPipe
from dragoman.backends.claude_code.tools import ToolServer
from dragoman.backends.shared.child_process import ChildProcess
from dragoman.backends.shared.message_reader import (
    MessageReader,
    OutputReader,
    blocks_in,
    broke_off,
    object_in,
    runtime_failed,
)
from dragoman.core import log
from dragoman.core.errors import GatewayError, TimedOut, UpstreamFailed
from dragoman.core.events import Event
from dragoman.core.messages import JSON, JSONObject

_CONTROL_TIMEOUT = 30.0
_SECOND_MESSAGE = "Claude sent a second message behind its calls of tools"

_Value = TypeVar("_Value")

RequestHandlers: TypeAlias = Mapping[str, Callable[[JSONObject], JSONObject]]
"""What answers the runtime's own control requests, by their subtype. Requests for tools are handled apart."""


class Spoiled(UpstreamFailed):
    """A process ended, or no longer holds the client's conversation, before it called the API for the current turn."""

    default_code = "runtime_failed"


class Session:
    """The only user of a process. It runs one turn at a time.

    A session whose turn failed, was cancelled or is `spent` cannot be used again: `discard` it.

    Attributes:
        settings: What `configure` set last.
        on_end: Called once when the process ends by itself while no turn runs.
        transcript_pipe: Where the process waits for its transcript, before anything else; None if it takes none.
    """

    def __init__(
        self,
        process: ChildProcess,
        *,
        silence: float,
        base_url: str | None = None,
        request_handlers: RequestHandlers | None = None,
        transcript_pipe: TranscriptPipe | None = None,
        on_plan_limits: Callable[[JSON], None] = lambda _: None,
    ) -> None:
        """Take over a process.

        Args:
            process: A process whose `listen` was not called yet.
            silence: Seconds without a frame after which a turn fails.
            base_url: The address of the API; None for the provider's own.
            request_handlers: What answers the runtime's control requests.
            transcript_pipe: Where the process waits for its transcript. The session closes it.
            on_plan_limits: Called with the limits of the operator's plan, when the runtime reports them.
        """
        self.settings: JSONObject = {}
        self.on_end: Callable[[], None] = lambda: None
        self.transcript_pipe = transcript_pipe
        self._process = process
        self._silence = silence
        self._request_handlers = request_handlers or {}
        self._on_plan_limits = on_plan_limits
        self._egress_block = EgressBlock(self._apply_settings, base_url)
        self._tools = ToolServer(())
        self._initial_fields: JSONObject | None = None
        self._request_numbers = itertools.count(1)
        self._control_responses: dict[str, asyncio.Future[JSONObject]] = {}
        self._append_results: deque[asyncio.Future[JSONObject]] = deque()
        self._reader: OutputReader | None = None
        self._break_check: str | None = None
        self._results_left = 0
        self._max_tokens = 0
        self._events: deque[Event] = deque()
        self._changed = asyncio.Event()
        process.listen(self._on_frame, self._on_end)

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
        """Kill the process and fail its turn. Idempotent. `exited` is done once the process is reaped."""
        self._process.kill()
        self._fail("it was stopped")

    async def control(self, subtype: str, fields: JSONObject, timeout: float = _CONTROL_TIMEOUT) -> JSONObject:  # noqa: ASYNC109 - the text of the error names what timed out
        """Make a control request and return its response.

        Args:
            subtype: The request's name.
            fields: The request's own fields.
            timeout: Seconds until the response must arrive.

        Raises:
            UpstreamFailed: The process refused the request, or ended.
            TimedOut: The process did not respond.
        """
        self._check_alive()
        request_id = f"control_{next(self._request_numbers)}"
        future: asyncio.Future[JSONObject] = asyncio.get_running_loop().create_future()
        self._control_responses[request_id] = future
        request: JSONObject = {"subtype": subtype, **fields}
        self._process.send({"type": "control_request", "request_id": request_id, "request": request})
        try:
            response = await _wait(timeout, future, f"`{subtype}`")
        finally:
            self._control_responses.pop(request_id, None)
        if response.get("subtype") != "success":
            raise UpstreamFailed(f"Claude Code refused `{subtype}`.", code="runtime_failed")
        if not isinstance(result := response.get("response") or {}, dict):
            raise runtime_failed(f"its response to `{subtype}` is no object")
        return result

    async def configure(self, settings: JSONObject) -> None:
        """Set the settings of the next request. Settings that are set already are not sent again."""
        if settings != self.settings or self._egress_block.active:
            await self.control("apply_flag_settings", {"settings": self._egress_block.lifted(settings)})
        self.settings = settings

    async def warm_up(self, settings: JSONObject, timeout: float) -> None:  # noqa: ASYNC109 - as in `control`
        """Have an unused process load what a first request needs, and set the settings of that request.

        The runtime is asked how full its context is. It would count that through the API, so the API is blocked
        meanwhile: no call is made that no client asked for. Whether it can answer does not matter.

        Args:
            settings: See `configure`.
            timeout: Seconds until the process must respond.
        """
        self._egress_block.activate(settings)
        with contextlib.suppress(UpstreamFailed):
            await self.control("get_context_usage", {}, timeout)
        await self.configure(settings)

    async def initialize(self, prompt: JSONObject, tools: list[str], settings: JSONObject) -> None:
        """Set what holds for the whole conversation, and for its first request. Call this before any message.

        A process may be initialized before its request comes. The request's own call then only sets its settings.

        Args:
            prompt: The fields of `initialize`: `systemPrompt` or `appendSystemPrompt`, and others.
            tools: Names of the client's tools.
            settings: See `configure`.

        Raises:
            UpstreamFailed: The process was initialized with something else, refused it, or ended.
            TimedOut: The process did not respond.
        """
        fields = dict(prompt)
        if tools:
            fields["sdkMcpServers"] = [SERVER_NAME]
        if self._initial_fields is not None:
            if (fields, frozenset(tools)) != (self._initial_fields, self._tools.names):
                raise runtime_failed("it was prepared for another conversation")
            await self.configure(settings)
            return
        self._initial_fields = fields
        self._tools = ToolServer(tools)
        await asyncio.gather(self.control("initialize", fields), self.configure(settings))
        if tools:
            await _wait(_CONTROL_TIMEOUT, self._tools.listed.wait(), "with a request for the tools")

    async def append(self, batches: Iterable[list[JSONObject]]) -> None:
        """Append earlier messages to the conversation. Each batch waits until the process took the one before."""
        for batch in batches:
            self._check_alive()
            result: asyncio.Future[JSONObject] = asyncio.get_running_loop().create_future()
            self._append_results.append(result)
            self._process.send(*batch)
            await _wait(_CONTROL_TIMEOUT, result, "a replayed message")

    def run_turn(
        self, frames: list[JSONObject], max_tokens: int, reader: OutputReader | None = None
    ) -> AsyncGenerator[Event, None]:
        """Send the frames that call the model, and yield the events of the response.

        Args:
            frames: The last frames of the conversation.
            max_tokens: Tokens after which the API cuts the response.
            reader: Reads the response's frames. The default reads a single API call.

        Raises:
            Spoiled: The process has ended meanwhile. Nothing was sent.
            GatewayError: The turn failed.
        """
        return self._turn(lambda: self._process.send(*frames), max_tokens, reader)

    def resume_turn(self, results: Mapping[str, JSONObject], max_tokens: int) -> AsyncGenerator[Event, None]:
        """Answer the parked calls with their results, and yield the events of the response, as `run_turn` does.

        Raises:
            Spoiled: The process has ended meanwhile, or has more than the response that the client has.
            GatewayError: The turn failed.
        """
        self._results_left = len(results)
        return self._turn(lambda: self._tools.add_results(results), max_tokens)

    def fail_turn(self, error: GatewayError) -> None:
        """End the current turn with an error. The session cannot be used again. Do nothing if there is no turn."""
        if self._reader is not None:
            self._reader.fail(error)
            self._changed.set()

    async def finish(self) -> None:
        """Close the process's input and wait until it exits. It writes its files before that."""
        self._process.on_end = lambda _: None
        self._process.close_input()
        await asyncio.shield(self.exited)

    async def _turn(
        self, send: Callable[[], None], max_tokens: int, reader: OutputReader | None = None
    ) -> AsyncGenerator[Event, None]:
        if not self.alive:
            raise Spoiled(f"The Claude Code process failed: {self._process.end_reason or 'it was stopped'}.")
        reader = self._reader = reader or MessageReader(self._tools.names)
        self._max_tokens = max_tokens
        send()
        while True:
            while self._events:
                yield self._events.popleft()
            if reader.outcome != "open":
                break
            await self._wait_for_change(None if reader.is_tool_running else self._silence)
        self._reader = None
        if reader.error is not None:
            raise reader.error

    async def _wait_for_change(self, silence: float | None) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(silence):
                await self._changed.wait()
        except TimeoutError:
            self.discard()
            raise TimedOut(f"Claude gave no sign of life for {self._silence:g} seconds (--silence-timeout).") from None

    def _apply_settings(self, settings: JSONObject) -> str:
        """Send settings without waiting for the response. Return the id of the request."""
        request: JSONObject = {"subtype": "apply_flag_settings", "settings": settings}
        request_id = f"settings_{next(self._request_numbers)}"
        self._process.send({"type": "control_request", "request_id": request_id, "request": request})
        return request_id

    def _check_break(self) -> None:
        """Have the turn fail if the runtime reports no retry before it answers a control request.

        It reports one at once. Some errors in the middle of thinking it repeats without a report, half a second later.
        """
        self._egress_block.activate()
        self._break_check = self._apply_settings({})

    def _check_alive(self) -> None:
        if not self.alive:
            raise runtime_failed(self._process.end_reason or "it was stopped")

    # Called by the process, in the event loop's read callback. An error here ends the process: see `ChildProcess`.

    def _on_frame(self, frame: JSONObject) -> None:
        match frame.get("type"):
            case "control_response":
                self._on_control_response(cast("JSONObject", frame["response"]))
            case "control_request":
                self._on_control_request(str(frame["request_id"]), cast("JSONObject", frame["request"]))
            case "rate_limit_event":
                self._on_plan_limits(frame.get("rate_limit_info"))
            case "result" if self._append_results:
                result = self._append_results.popleft()
                if not result.done():  # it is done if its run was cancelled and has not discarded the process yet
                    result.set_result(frame)
            case "stream_event" if self._reader is None or self._reader.outcome != "open":
                # A message after the response: the process no longer holds the client's conversation.
                self.discard()
                self.on_end()
            case "stream_event" if self._results_left:  # the same, and the results were sent before it was seen
                log.warning("runtime.ended", pid=self.pid, reason=_SECOND_MESSAGE, stderr=self._process.stderr_tail)
                self._process.kill()
                self.fail_turn(Spoiled(_SECOND_MESSAGE))
            case _ if self._reader is not None:
                self._read(self._reader, frame)
            case _:
                pass

    def _read(self, reader: OutputReader, frame: JSONObject) -> None:
        if self._results_left and frame.get("type") == "user":  # the runtime repeats results before its next call
            self._results_left -= len(blocks_in(object_in(frame, "message"), "tool_result"))
        self._events.extend(reader.feed(frame))
        if reader.outcome in ("spent", "failed"):
            # Kill before the runtime's next API call, which follows within some 9 ms.
            self._process.kill()
            self._egress_block.cancel()
        elif reader.is_retrying or reader.outcome != "open":
            self._break_check = None
            self._egress_block.lift()
        elif reader.has_broken_off:
            if self._break_check is None:
                self._check_break()
        elif reader.byte_count >= self._max_tokens or reader.must_not_continue:
            self._egress_block.activate()
        elif reader.byte_count and reader.is_one_call:
            self._egress_block.activate_soon()
        if self._events or reader.outcome != "open":
            self._changed.set()

    def _on_control_response(self, response: JSONObject) -> None:
        request_id = str(response.get("request_id"))
        future = self._control_responses.get(request_id)
        if future is not None and not future.done():
            future.set_result(response)
        elif request_id == self._break_check:
            self._process.kill()
            self.fail_turn(broke_off())

    def _on_control_request(self, request_id: str, request: JSONObject) -> None:
        if request.get("subtype") == "mcp_message":
            message = cast("JSONObject", request["message"])
            self._tools.handle(message, lambda result: self._reply_to_tool(request_id, message.get("id"), result))
        elif (handler := self._request_handlers.get(str(request.get("subtype")))) is not None:
            self._reply(request_id, {"subtype": "success", "response": handler(request)})
        else:
            log.warning("runtime.asked", pid=self.pid, subtype=request.get("subtype"))
            self._reply(request_id, {"subtype": "error", "error": "This client does not offer that."})

    def _reply_to_tool(self, request_id: str, message_id: JSON, result: JSONObject) -> None:
        reply: JSONObject = {"jsonrpc": "2.0", "id": message_id, "result": result}
        self._reply(request_id, {"subtype": "success", "response": {"mcp_response": reply}})

    def _reply(self, request_id: str, response: JSONObject) -> None:
        self._process.send({"type": "control_response", "response": {**response, "request_id": request_id}})

    def _on_end(self, reason: str) -> None:
        self._fail(reason)
        log.warning("runtime.ended", pid=self.pid, reason=reason, stderr=self._process.stderr_tail)
        self.on_end()

    def _fail(self, reason: str) -> None:
        self._egress_block.cancel()
        if self.transcript_pipe is not None:
            self.transcript_pipe.abort()
        for future in (*self._control_responses.values(), *self._append_results):
            if not future.done():
                future.set_exception(runtime_failed(reason))
        self._append_results.clear()
        if self._reader is not None:
            self._reader.process_failed(reason)
            self._changed.set()


async def _wait(seconds: float, awaitable: Awaitable[_Value], what: str) -> _Value:
    try:
        async with asyncio.timeout(seconds):
            return await awaitable
    except TimeoutError:
        raise TimedOut(f"The Claude Code process did not answer {what} within {seconds:g} seconds.") from None
