"""The reader of an agent's run: from the frames of many API calls to the events of one response. No I/O here.

The agent's text becomes the text of the response. Its thinking, its tool calls and their results become the thinking of
the response, without signatures: these belong to API calls that the client does not see. The usage is that of all
calls, including those of subagents.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import cast

import msgspec

from dragoman.backends.shared.message_reader import (
    OutputReader,
    block_delta,
    block_start,
    block_stop,
    blocks_in,
    delta_size,
    failure_in,
    object_in,
    text_in,
)
from dragoman.backends.shared.message_stream import MessageStream
from dragoman.backends.shared.runtime_errors import result_error
from dragoman.core.accumulate import merge_usage
from dragoman.core.errors import UpstreamFailed
from dragoman.core.events import (
    BlockDelta,
    BlockStart,
    BlockStop,
    Event,
    MessageDelta,
    MessageStart,
    MessageStop,
    Retrying,
)
from dragoman.core.messages import Block, JSONObject, Usage

_MAX_NOTE_CHARACTERS = 400
_SHOWN_TYPES = frozenset({"text", "thinking"})
_LIMIT_NOTES: Mapping[str, str] = MappingProxyType(
    {
        "error_max_turns": "The agent was stopped: it reached `max_turns`.",
        "error_max_budget_usd": "The agent was stopped: it reached `max_budget_usd`.",
    }
)
"""What the response says about a limit that ended the run, by the subtype of the `result`."""

_USAGE_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "input_tokens": "inputTokens",
        "output_tokens": "outputTokens",
        "cache_creation_input_tokens": "cacheCreationInputTokens",
        "cache_read_input_tokens": "cacheReadInputTokens",
    }
)
"""The API's names of token counts, and the runtime's."""


class AgentReader(OutputReader):
    """The reader of an agent's run. The runtime may make any number of API calls, and the response has no limit.

    Args:
        on_call: Called with the usage of each call that has ended with calls of tools: another one follows.
    """

    def __init__(self, on_call: Callable[[JSONObject], None] | None = None) -> None:
        super().__init__()
        self._on_call = on_call
        self._usage: Usage = {}
        self._stream = MessageStream(checks_arguments=False)
        self._running_tools: set[str] = set()
        self._open_blocks: dict[int, int] = {}
        self._held_starts: dict[int, JSONObject] = {}
        self._block_count = 0
        self._notes: list[str] = []
        self._has_started = False
        self._is_mid_message = False
        self._has_text = False
        self._separator = ""
        self._is_mid_line = False
        self._stop_reason: object = None
        self._failure = ""

    @property
    def is_tool_running(self) -> bool:
        """Whether a tool runs, so that silence does not mean a failure."""
        return bool(self._running_tools)

    def feed(self, frame: JSONObject) -> Iterator[Event]:
        """Take the next frame, and yield its events."""
        if self.outcome != "open":
            return
        is_subagent = frame.get("parent_tool_use_id") is not None
        match frame.get("type"):
            case "stream_event" if not is_subagent:
                try:
                    yield from self._read_event(object_in(frame, "event"))
                except UpstreamFailed as error:
                    self.fail(error)
            case "assistant":
                yield from self._read_calls(object_in(frame, "message"), is_subagent=is_subagent)
            case "user":
                yield from self._read_results(object_in(frame, "message"), is_subagent=is_subagent)
            case "system" if frame.get("subtype") == "api_retry" and not self._has_started:
                attempt = frame.get("attempt")
                yield Retrying(attempt if isinstance(attempt, int) else 1, 0.0, str(frame.get("error")))
            case "result":
                yield from self._read_result(frame)
            case _:
                pass

    def _read_event(self, raw: JSONObject) -> Iterator[Event]:
        if self._failure:
            return  # the runtime makes up the end of a message that failed
        if raw.get("type") == "message_stop":
            self._is_mid_message = False
            if not self._stream.has_stop_reason:
                return  # the message broke off, and the runtime continues it in another one
        if raw.get("type") == "message_start":
            self._stream = MessageStream(checks_arguments=False)
        match event := self._stream.read(raw):
            case MessageStart():
                yield from self._start_message(event)
            case BlockStart(index=index):
                yield from self._start_block(index, object_in(raw, "content_block"))
            case BlockDelta(index=index):
                yield from self._read_delta(index, object_in(raw, "delta"))
            case BlockStop(index=index):
                if (shown_index := self._open_blocks.pop(index, None)) is not None:
                    yield block_stop(shown_index)
                    yield from self._write_notes()
            case MessageDelta():
                self._stop_reason = object_in(raw, "delta")["stop_reason"]
                if self._on_call is not None and self._stop_reason == "tool_use":
                    self._on_call(cast("JSONObject", merge_usage(self._usage, raw.get("usage"))))
            case _:
                pass

    def _start_message(self, event: MessageStart) -> Iterator[Event]:
        self._usage = merge_usage(None, object_in(event.raw, "message").get("usage"))
        if self._is_mid_message:
            # A further call would repeat text that the client has already received.
            self.fail(UpstreamFailed("Claude's response broke off before its end. Send the request again."))
            return
        # A message that was cut is continued in the middle of a sentence.
        self._separator = "\n\n" if self._has_text and self._stop_reason != "max_tokens" else ""
        if not self._has_started:
            self._has_started = True
            yield event

    def _start_block(self, index: int, block: Block) -> Iterator[Event]:
        self._held_starts.pop(index, None)
        if block["type"] not in _SHOWN_TYPES:
            return
        if block.get("thinking") == "":
            # Without its signature, thinking may be empty. So its block starts with its first text.
            self._held_starts[index] = block
        else:
            yield from self._open_block(index, block)

    def _open_block(self, index: int, block: Block) -> Iterator[Event]:
        yield from self._write_notes()
        shown_index = self._open_blocks[index] = self._next_index()
        yield block_start(shown_index, {**block, "signature": ""} if "signature" in block else block)
        if block["type"] == "text":
            self._has_text = True
            if self._separator:
                yield block_delta(shown_index, {"type": "text_delta", "text": self._separator})
                self._separator = ""

    def _read_delta(self, index: int, delta: JSONObject) -> Iterator[Event]:
        self.byte_count += delta_size(delta)
        if delta.get("type") == "thinking_delta" and (thinking := text_in(delta, "thinking")):
            if (held := self._held_starts.pop(index, None)) is not None:
                yield from self._open_block(index, held)
            self._is_mid_line = not thinking.endswith("\n")
        if (shown_index := self._open_blocks.get(index)) is None:
            return
        self._is_mid_message = True
        if delta.get("type") != "signature_delta":
            yield block_delta(shown_index, delta)

    def _read_calls(self, message: JSONObject, *, is_subagent: bool) -> Iterator[Event]:
        if failure := failure_in(message):
            if not is_subagent:
                self._failure = failure
            return
        for block in blocks_in(message, "tool_use"):
            self._running_tools.add(text_in(block, "id"))
            yield from self._note(_describe_call(block), is_subagent=is_subagent)

    def _read_results(self, message: JSONObject, *, is_subagent: bool) -> Iterator[Event]:
        for block in blocks_in(message, "tool_result"):
            self._running_tools.discard(text_in(block, "tool_use_id"))
            yield from self._note(_describe_result(block), is_subagent=is_subagent)

    def _read_result(self, frame: JSONObject) -> Iterator[Event]:
        limit_note = _LIMIT_NOTES.get(str(frame.get("subtype")))
        if not self._has_started or self._failure or (frame.get("is_error") and limit_note is None):
            self.fail(result_error(frame, self._failure))
            return
        if limit_note is not None:
            yield from self._note(limit_note)
        yield from self._write_notes()
        stop_reason = "max_tokens" if limit_note else frame.get("stop_reason") or "end_turn"
        delta: JSONObject = {"stop_reason": stop_reason, "stop_sequence": None}
        yield MessageDelta({"type": "message_delta", "delta": delta, "usage": _total_usage(frame)})
        yield MessageStop({"type": "message_stop"})
        self.outcome = "complete"

    def _note(self, line: str, *, is_subagent: bool = False) -> Iterator[Event]:
        self._notes.append(f"  {line}" if is_subagent else line)
        yield from self._write_notes()

    def _write_notes(self) -> Iterator[Event]:
        """Write the notes as a thinking block. Notes wait while another block is open."""
        if self._open_blocks or not self._notes or not self._has_started:
            return
        lines, self._notes = self._notes, []
        prefix = "\n" if self._is_mid_line else ""
        self._is_mid_line = False
        index = self._next_index()
        yield block_start(index, {"type": "thinking", "thinking": "", "signature": ""})
        text = prefix + "".join(f"{line}\n" for line in lines)
        yield block_delta(index, {"type": "thinking_delta", "thinking": text})
        yield block_stop(index)

    def _next_index(self) -> int:
        index, self._block_count = self._block_count, self._block_count + 1
        return index


def _describe_call(block: Block) -> str:
    """Return a line for a tool call: the tool's name and the beginning of its input."""
    arguments = msgspec.json.encode(block.get("input") or {}).decode()
    return f"{text_in(block, 'name')} {_shorten(arguments)}"


def _describe_result(block: Block) -> str:
    """Return a line for a tool result: the beginning of its text."""
    mark = "✗" if block.get("is_error") is True else "→"
    return f"{mark} {_shorten(_result_text(block)) or 'done'}"


def _result_text(block: Block) -> str:
    content = block.get("content")
    if isinstance(content, str):
        return content
    parts = cast("list[JSONObject]", content or [])
    return "\n".join(text_in(part, "text") if part.get("type") == "text" else f"({part.get('type')})" for part in parts)


def _shorten(text: str) -> str:
    text = text.strip()
    if len(text) <= _MAX_NOTE_CHARACTERS:
        return text
    return f"{text[:_MAX_NOTE_CHARACTERS].rstrip()}… ({len(text)} characters)"


def _total_usage(frame: JSONObject) -> JSONObject:
    """Return the tokens of all calls, added over all models."""
    models = list(cast("dict[str, JSONObject]", frame.get("modelUsage") or {}).values())

    def total(name: str) -> int:
        return sum(value for model in models if isinstance(value := model.get(name), int))

    usage: JSONObject = {name: total(runtime_name) for name, runtime_name in _USAGE_KEYS.items()}
    cache_creation: JSONObject = {
        "ephemeral_5m_input_tokens": total("cacheCreationEphemeral5mInputTokens"),
        "ephemeral_1h_input_tokens": total("cacheCreationEphemeral1hInputTokens"),
    }
    details: JSONObject = {"thinking_tokens": total("thinkingTokens")}
    return {**usage, "cache_creation": cache_creation, "output_tokens_details": details}
