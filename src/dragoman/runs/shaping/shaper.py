"""Change the events of a response as `ResponseShaping` says, for every backend and dialect."""

import math
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import TypeAlias, cast

import msgspec

from dragoman.backends.base import RunRequest
from dragoman.core.errors import UpstreamFailed
from dragoman.core.events import (
    BlockDelta,
    BlockStart,
    BlockStop,
    Event,
    MessageDelta,
    MessageStart,
    MessageStop,
    Restarted,
)
from dragoman.core.messages import Block, JSONObject, Message, MessagesRequest, parse_arguments
from dragoman.core.shaping import ResponseShaping
from dragoman.core.value_object import replace
from dragoman.core.warnings import RequestWarning
from dragoman.runs.run import Run
from dragoman.runs.shaping.json_text import JsonText
from dragoman.runs.shaping.stop_text import StopText
from dragoman.runs.shaping.warning_line import is_for_people, warning_line, without_warning_lines

BackendCall: TypeAlias = Callable[[RunRequest], AsyncGenerator[Event, None]]

_CHARACTERS_PER_TOKEN = 4
"""For the usage of a response that the gateway ends: the API has not reported it."""


class Shaper:
    """Changes the events of one response.

    Args:
        shaping: What to change.
        line: Returns a line to put in front of the first text; None: there is none.

    Attributes:
        ended: Whether a stop text ended the response: the backend has nothing more to say.
    """

    def __init__(self, shaping: ResponseShaping, line: Callable[[], str] | None = None) -> None:
        self._shaping = shaping
        self._line = line
        self._reset()

    def feed(self, event: Event) -> Iterator[Event]:
        """Yield the changed events in place of one."""
        match event:
            case BlockDelta():
                yield from self._delta(event)
            case BlockStart():
                yield from self._start(event)
            case BlockStop(index=index):
                yield from self._close(index)
                if not self.ended:
                    yield event
            case MessageStart() | Restarted():
                self._reset()
                yield event
            case _:
                yield event

    @property
    def removed_words(self) -> bool:
        """Whether words around JSON were removed."""
        return self._json is not None and self._json.removed_words

    def _reset(self) -> None:
        shaping = self._shaping
        self._json = JsonText(is_object=shaping.json_object) if shaping.json_only else None
        self._stop = StopText(shaping.stop) if shaping.stop else None
        self._block_type = ""
        self._names: Mapping[str, str] = {}
        self._arguments = ""
        self._characters = 0
        self._has_text = False
        self.ended = False

    def _start(self, event: BlockStart) -> Iterator[Event]:
        block = cast("Block", event.raw["content_block"])
        self._block_type, self._names, self._arguments = str(block.get("type")), {}, ""
        if self._block_type == "tool_use":
            self._names = self._shaping.property_names.get(str(block.get("name")), {})
        text = block.get("text")
        if self._block_type == "text" and text:
            yield BlockStart(event.index, {**event.raw, "content_block": {**block, "text": ""}})
            yield from self._text(event.index, str(text))
        else:
            yield event

    def _delta(self, event: BlockDelta) -> Iterator[Event]:
        delta = cast("JSONObject", event.raw["delta"])
        kind = delta.get("type")
        if kind == "text_delta" and self._block_type == "text":
            yield from self._text(event.index, str(delta["text"]))
        elif kind == "input_json_delta" and self._names:
            self._arguments += str(delta["partial_json"])
        else:
            self._characters += len(str(delta.get("thinking") or delta.get("partial_json") or ""))
            yield event

    def _text(self, index: int, text: str) -> Iterator[Event]:
        self._characters += len(text)
        if self._json is not None:
            text = self._json.add(text)
        if self._stop is not None:
            text = self._stop.add(text)
        yield from self._visible(index, text)
        if self._stop is not None and self._stop.found is not None:
            yield from self._end(index, self._stop.found)

    def _visible(self, index: int, text: str) -> Iterator[Event]:
        """Yield text for the client, the first one with the line in front."""
        if not text:
            return
        if not self._has_text and self._line is not None:
            text = self._line() + text
        self._has_text = True
        yield _delta(index, "text_delta", "text", text)

    def _close(self, index: int) -> Iterator[Event]:
        """Yield what a block holds back at its end."""
        if self._names and self._arguments:
            yield _delta(index, "input_json_delta", "partial_json", _with_client_names(self._arguments, self._names))
        if self._block_type == "text":
            yield from self._held_text(index)

    def _held_text(self, index: int) -> Iterator[Event]:
        text = self._json.finish() if self._json is not None else ""
        if self._stop is not None:
            text = self._stop.add(text)
            if self._stop.found is None:
                text += self._stop.finish()
        yield from self._visible(index, text)
        if self._stop is not None and self._stop.found is not None:
            yield from self._end(index, self._stop.found)

    def _end(self, index: int, stop: str) -> Iterator[Event]:
        """End the response here, with the stop reason of a stop sequence."""
        self.ended = True
        usage: JSONObject = {"output_tokens": max(1, math.ceil(self._characters / _CHARACTERS_PER_TOKEN))}
        delta: JSONObject = {"stop_reason": "stop_sequence", "stop_sequence": stop}
        yield BlockStop(index, {"type": "content_block_stop", "index": index})
        yield MessageDelta({"type": "message_delta", "delta": delta, "usage": usage})
        yield MessageStop({"type": "message_stop"})


def shaped(call: BackendCall, shaping: ResponseShaping, run: Run) -> BackendCall:
    """Return a backend's `run` that changes the response, and undoes the changes in the conversation.

    Args:
        call: The backend's `run`.
        shaping: What to change.
        run: Receives a warning of what was removed. Its own warnings are shown in the text.
    """
    if not shaping.changes_events:
        return call

    async def run_shaped(request: RunRequest) -> AsyncGenerator[Event, None]:
        shows_warnings = shaping.warnings_in_text and not shaping.for_program and is_for_people(request.body)
        shaper = Shaper(shaping, (lambda: _line_of(run)) if shows_warnings else None)
        body = cast(
            "MessagesRequest", {**request.body, "messages": _as_claude_wrote(request.body["messages"], shaping)}
        )
        async with aclosing(call(replace(request, body=body))) as events:
            async for event in events:
                for changed in shaper.feed(event):
                    yield changed
                if shaper.ended:
                    break
        if shaper.removed_words:
            detail = "Claude wrote words around the JSON object; they were removed."
            run.add_warnings((RequestWarning("mapped", shaping.json_param, detail),))

    return run_shaped


def _line_of(run: Run) -> str:
    """Return the line with a run's warnings, unless its response has text already, in an earlier part."""
    try:
        content = run.result().message["content"]
    except UpstreamFailed:
        content = []
    if any(block.get("text") for block in content):
        return ""
    return warning_line([*run.request_warnings, *run.warnings])


def _as_claude_wrote(messages: Sequence[Message], shaping: ResponseShaping) -> Sequence[Message]:
    """Return the conversation without what was changed in earlier responses."""
    if shaping.warnings_in_text:
        messages = without_warning_lines(messages)
    if shaping.property_names:
        messages = _with_sent_names(messages, shaping.property_names)
    return messages


def _with_sent_names(messages: Sequence[Message], property_names: Mapping[str, Mapping[str, str]]) -> list[Message]:
    """Return the conversation with the arguments of its calls under the names that Claude sees."""
    sent_names = {tool: {old: new for new, old in names.items()} for tool, names in property_names.items()}
    return [_message_with_sent_names(message, sent_names) for message in messages]


def _message_with_sent_names(message: Message, sent_names: Mapping[str, Mapping[str, str]]) -> Message:
    if message["role"] != "assistant":
        return message
    content: list[Block] = []
    for block in message["content"]:
        names, input_ = sent_names.get(str(block.get("name"))), block.get("input")
        is_renamed = names is not None and block.get("type") == "tool_use" and isinstance(input_, dict)
        content.append({**block, "input": _renamed(cast("JSONObject", input_), names or {})} if is_renamed else block)
    return cast("Message", {**message, "content": content})


def _with_client_names(arguments: str, names: Mapping[str, str]) -> str:
    """Return the JSON text of a call's arguments with the client's names. A cut text stays as it is."""
    value = parse_arguments(arguments)
    return msgspec.json.encode(_renamed(value, names)).decode() if isinstance(value, dict) else arguments


def _renamed(arguments: JSONObject, names: Mapping[str, str]) -> JSONObject:
    return {names.get(name, name): value for name, value in arguments.items()}


def _delta(index: int, kind: str, field: str, text: str) -> BlockDelta:
    delta: JSONObject = {"type": kind, field: text}
    return BlockDelta(index, {"type": "content_block_delta", "index": index, "delta": delta})
