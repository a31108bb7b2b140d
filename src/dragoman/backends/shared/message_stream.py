"""The grammar of a streamed response: one state machine for the events of every upstream.

A response is one `message_start`; content blocks, one after the other, whose indexes count from 0; one `message_delta`
with the stop reason; one `message_stop`. A block is one `content_block_start`, any number of `content_block_delta`, and
one `content_block_stop`. Anything else would lose or double a part of the response.

The API may add types at any time: events of unknown types are ignored, blocks and deltas of unknown types are passed
on. An unknown stop reason is an error, because such a response may be incomplete.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from dragoman.core.errors import UpstreamFailed
from dragoman.core.events import (
    BlockDelta,
    BlockStart,
    BlockStop,
    MessageDelta,
    MessageEvent,
    MessageStart,
    MessageStop,
)
from dragoman.core.messages import JSON, JSONObject, parse_arguments

_CUT_REASONS = frozenset({"max_tokens", "model_context_window_exceeded", "refusal", "stop_sequence"})
"""Stop reasons that may end a response in the middle of a tool call."""
STOP_REASONS = _CUT_REASONS | {"end_turn", "tool_use", "pause_turn", "compaction"}
"""Source: https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons; `compaction` is a beta."""

_TEXT_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "text_delta": "text",
        "thinking_delta": "thinking",
        "signature_delta": "signature",
        "input_json_delta": "partial_json",
    }
)
"""The text in each type of delta."""
_KNOWN_DELTAS = frozenset({*_TEXT_FIELDS, "citations_delta", "compaction_delta"})

_CALL_TYPES = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
_DELTAS_OF_BLOCK: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "text": frozenset({"text_delta", "citations_delta"}),
        "thinking": frozenset({"thinking_delta", "signature_delta"}),
        "redacted_thinking": frozenset(),
        **dict.fromkeys(_CALL_TYPES, frozenset({"input_json_delta"})),
    }
)
"""The known deltas of each type of block. A block of any other type may have all of them."""
_TEXT_FIELDS_OF_BLOCK: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        block: {delta: _TEXT_FIELDS[delta] for delta in deltas & _TEXT_FIELDS.keys()}
        for block, deltas in _DELTAS_OF_BLOCK.items()
    }
)
_TEXTS_OF_BLOCK: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"text": ("text",), "thinking": ("thinking", "signature"), "redacted_thinking": ("data",)}
)
_NESTED_COUNTS = frozenset({"cache_creation", "server_tool_use", "output_tokens_details"})

_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


def unreadable(reason: str) -> UpstreamFailed:
    """Return the error for a response that Claude would not send. The reason contains none of its words."""
    return UpstreamFailed(f"Claude's response could not be read: {reason}.")


class MessageStream:
    """The state of one response. It checks each event, in the order in which they arrive.

    Args:
        checks_arguments: Whether the arguments of a call are JSON unless the response was cut. The API does not promise
            it for tools with `eager_input_streaming`.

    Attributes:
        has_started: Whether `message_start` was read.
        has_stop_reason: Whether `message_delta` was read.
        is_complete: Whether `message_stop` was read.
    """

    __slots__ = (
        "_block_count",
        "_broken_call",
        "_call_ids",
        "_checks_arguments",
        "_fields",
        "_has_client_call",
        "_open_index",
        "_open_type",
        "_pieces",
        "has_started",
        "has_stop_reason",
        "is_complete",
    )

    def __init__(self, *, checks_arguments: bool = True) -> None:
        self.has_started = False
        self.has_stop_reason = False
        self.is_complete = False
        self._checks_arguments = checks_arguments
        self._block_count = 0
        self._open_index: int | None = None
        self._open_type = ""
        self._fields: Mapping[str, str] = _TEXT_FIELDS
        self._pieces: list[str] | None = None
        self._broken_call = False
        self._call_ids: set[str] = set()
        self._has_client_call = False

    @property
    def is_between_blocks(self) -> bool:
        """Whether a block has ended, and no other one began."""
        return self._open_index is None and self._block_count > 0

    def read(self, raw: JSONObject) -> MessageEvent | None:
        """Check an event of the API.

        Returns:
            The event of the run. None for types that do not belong to a message: `ping`, `error`, and unknown ones.

        Raises:
            UpstreamFailed: The API would not send this event here.
        """
        try:
            kind = raw["type"]
            if kind == "content_block_delta":  # the most frequent event: no further call for a text
                index = raw["index"]
                delta: Any = raw["delta"]  # checked by its use; `cast` would be a call for each delta
                if index != self._open_index or type(index) is not int:
                    raise unreadable("a delta does not belong to the open block")
                if (field := self._fields.get(delta["type"])) is None:
                    self._check_other_delta(delta)
                elif type(text := delta[field]) is not str:
                    raise unreadable(f"`{field}` of a delta is not a text")
                elif self._pieces is not None:
                    self._pieces.append(text)
                return BlockDelta(index, raw)
            return self._read_other(kind, raw)
        except (KeyError, TypeError):
            raise unreadable("an event lacks a field, or a field has another type") from None

    def _read_other(self, kind: JSON, raw: JSONObject) -> MessageEvent | None:
        match kind:
            case "content_block_start":
                return self._start_block(raw["index"], _object(raw["content_block"]), raw)
            case "content_block_stop":
                return self._stop_block(raw["index"], raw)
            case "message_start":
                if self.has_started:
                    raise unreadable("a second message began")
                _check_message(_object(raw["message"]))
                self.has_started = True
                return MessageStart(raw)
            case "message_delta":
                self._end_message(_object(raw["delta"]), raw.get("usage"))
                return MessageDelta(raw)
            case "message_stop":
                if not self.has_stop_reason or self.is_complete:
                    raise unreadable("it has no stop reason, or ended twice")
                self.is_complete = True
                return MessageStop(raw)
            case str():
                return None
            case _:
                raise TypeError

    def _check_place(self) -> None:
        """Check that a block may begin, or the message end."""
        if not self.has_started or self.has_stop_reason or self._open_index is not None:
            raise unreadable("its events are out of order")

    def _start_block(self, index: JSON, block: JSONObject, raw: JSONObject) -> BlockStart:
        self._check_place()
        if index != self._block_count or type(index) is not int:
            raise unreadable("a block is missing, or was sent twice")
        if self._broken_call:
            raise unreadable("the arguments of a tool call are not JSON")
        if not isinstance(kind := block["type"], str):
            raise TypeError
        for name in _TEXTS_OF_BLOCK.get(kind, ()):
            _check(block.get(name), str)
        if is_call := kind in _CALL_TYPES:
            self._check_call(block)
        self._open_index, self._open_type, self._block_count = index, kind, index + 1
        self._fields = _TEXT_FIELDS_OF_BLOCK.get(kind, _TEXT_FIELDS)
        self._pieces = [] if is_call else None
        return BlockStart(index, raw)

    def _check_call(self, block: JSONObject) -> None:
        if not isinstance(id_ := block["id"], str) or not isinstance(block["name"], str):
            raise TypeError
        _check(block.get("input"), dict)
        if id_ in self._call_ids:
            raise unreadable("two tool calls have the same id")
        self._call_ids.add(id_)
        self._has_client_call = self._has_client_call or block["type"] == "tool_use"

    def _check_other_delta(self, delta: JSONObject) -> None:
        """Check a delta without a text that the open block may have."""
        kind = delta["type"]
        if kind in _KNOWN_DELTAS and kind not in _DELTAS_OF_BLOCK.get(self._open_type, _KNOWN_DELTAS):
            raise unreadable("a delta does not belong to the type of its block")
        if not isinstance(kind, str) or (kind == "citations_delta" and not isinstance(delta["citation"], dict)):
            raise TypeError

    def _stop_block(self, index: JSON, raw: JSONObject) -> BlockStop:
        if index != self._open_index or type(index) is not int:
            raise unreadable("the end of a block does not belong to the open block")
        if self._pieces and self._checks_arguments:
            self._broken_call = not _is_json_object("".join(self._pieces))
        self._open_index = self._pieces = None
        return BlockStop(index, raw)

    def _end_message(self, delta: JSONObject, usage: JSON) -> None:
        self._check_place()
        reason = delta["stop_reason"]
        if reason not in STOP_REASONS:
            raise unreadable("its stop reason is not known")
        if self._broken_call and reason not in _CUT_REASONS:
            raise unreadable("the arguments of a tool call are not JSON")
        if reason == "tool_use" and not self._has_client_call:
            raise unreadable("its stop reason is a tool call, and there is none")
        _check(delta.get("stop_sequence"), str)
        _check_usage(usage)
        self.has_stop_reason = True


def _check_message(message: JSONObject) -> None:
    if message.get("content", []) != [] or message.get("role", "assistant") != "assistant":
        raise unreadable("it does not begin as an empty message of Claude")
    for name in ("id", "model"):
        _check(message.get(name), str)
    _check_usage(message.get("usage"))


def _check_usage(usage: JSON) -> None:
    _check(usage, dict)
    counts: Any = usage or {}
    for name, count in counts.items():
        if name in _NESTED_COUNTS:
            _check_usage(count)
        elif type(count) is not int and name.endswith("_tokens"):
            _check(count, int)


def _check(value: JSON, kind: type) -> None:
    if value is not None and type(value) is not kind:
        raise TypeError


def _object(value: JSON) -> JSONObject:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _is_json_object(text: str) -> bool:
    if not text:
        return True
    try:
        _decode_object(text)
    except msgspec.DecodeError:
        return isinstance(parse_arguments(text), dict)  # it accepts what a model may write, such as half a character
    return True
