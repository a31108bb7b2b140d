"""The scripted messages, and a judge of streams that shares no code with the gateway.

Each message is made for one attempt of one request: every word contains the request's mark and the number of the
attempt, so that words of another request, of another attempt, or of a second copy are recognised.
"""

import json
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Object: TypeAlias = dict[str, Any]
"""JSON of any shape: faults put every type in every place."""

Feature: TypeAlias = Literal["text", "long", "tools", "thinking", "schema", "limit"]
FEATURES: tuple[Feature, ...] = ("text", "long", "tools", "thinking", "schema", "limit")
TOOL = "look_up"
PARAMETERS: Object = {
    "type": "object",
    "properties": {"mark": {"type": "string"}, "words": {"type": "string"}},
    "required": ["mark", "words"],
    "additionalProperties": False,
}
_STOP_REASONS = frozenset({"end_turn", "tool_use", "max_tokens", "stop_sequence", "refusal", "pause_turn"})
_CALLED_AGAIN = frozenset({"max_tokens", "refusal"})
_ENDINGS = {"tools": "tool_use", "limit": "max_tokens"}
_ODD = ("", "é", "漢字", "😀", "\u2028", "\\", '"', "\n", "👩\u200d🚀", "<&>", "\t", "data: x\n\ndata:")
_HALF = re.compile("[\ud800-\udfff]")
_DELTA_KEYS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
_BLOCK_OF_DELTA = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "tool_use"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client must receive.

    Attributes:
        text: All text.
        thinking: All thinking.
        calls: Name and arguments of each tool call, the arguments as JSON with sorted keys.
        ending: The API's stop reason.
    """

    text: str = ""
    thinking: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    ending: str = "end_turn"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a client may receive for one attempt.

    Attributes:
        kind: `valid`: exactly this answer. `either`: this answer or an error. `invalid`: an error. `unknown`: an error,
            or an answer that cannot be judged.
        answer: The answer.
    """

    kind: Literal["valid", "either", "invalid", "unknown"]
    answer: Answer = field(default_factory=Answer)


INVALID = Judgement("invalid")
UNKNOWN = Judgement("unknown")


def scripted(mark: str, feature: Feature, rng: random.Random, *, thinks: bool) -> list[Object]:
    """Return the events of a complete message.

    Args:
        mark: The mark of the request and the attempt, part of every word.
        feature: The kind of message.
        rng: Chooses lengths, characters, and where deltas are split.
        thinks: Whether the request shows thinking.
    """
    blocks: list[tuple[Object, list[Object]]] = []
    if feature == "thinking" and thinks:
        pieces = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(_words(mark, "t", 12, rng), rng)]
        signature = {"type": "signature_delta", "signature": rng.randbytes(48).hex()}
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, [*pieces, signature]))
    if feature == "schema":
        value = json.dumps({"mark": mark, "words": _words(mark, "s", 20, rng)}, ensure_ascii=rng.random() < 0.5)
        blocks.append(({"type": "text", "text": ""}, _texts(value, rng)))
    elif feature != "tools" or rng.random() < 0.5:
        count = rng.randint(400, 3000) if feature == "long" else rng.randint(1, 40)
        blocks.append(({"type": "text", "text": ""}, _texts(_words(mark, "w", count, rng), rng)))
    for number in range(rng.randint(1, 3) if feature == "tools" else 0):
        value = json.dumps({"mark": mark, "words": _words(mark, f"c{number}-", 8, rng)})
        start = {"type": "tool_use", "id": f"toolu_{mark}n{number}", "name": TOOL, "input": {}}
        blocks.append((start, [{"type": "input_json_delta", "partial_json": piece} for piece in _pieces(value, rng)]))
    return _events(mark, blocks, _ENDINGS.get(feature, "end_turn"))


def _events(mark: str, blocks: list[tuple[Object, list[Object]]], ending: str) -> list[Object]:
    message: Object = {
        "id": f"msg_{mark}",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 42, "output_tokens": 1},
    }
    events: list[Object] = [{"type": "message_start", "message": message}]
    for index, (start, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": ending, "stop_sequence": None}
    events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": len(events)}})
    return [*events, {"type": "message_stop"}]


def _words(mark: str, kind: str, count: int, rng: random.Random) -> str:
    return " ".join(f"{mark}{kind}{number}{rng.choice(_ODD)}" for number in range(count))


def _texts(text: str, rng: random.Random) -> list[Object]:
    return [{"type": "text_delta", "text": piece} for piece in _pieces(text, rng)]


def _pieces(text: str, rng: random.Random) -> list[str]:
    """Split a text at random characters."""
    cuts = sorted(rng.randrange(len(text) + 1) for _ in range(min(30, len(text) // 6)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True) if start < end]


def judge(events: Iterable[object], *, feature: Feature, hides_late: bool = False) -> Judgement:
    """Return what a client may receive for a stream: the grammar of the Messages API, written a second time.

    Args:
        events: The decoded data of each event, as far as it was sent.
        feature: The kind of message that was requested.
        hides_late: Whether the runtime is between the API and the gateway. It hides a delta that comes after its block:
            to the gateway that delta was never sent. The same holds for an event whose type is not a text; it makes up
            a `message_stop` of that kind. Behind a stop reason after which it would call again, it is
            killed: the rest is not read. If a second message begins after calls of tools, the runtime ends the first
            one itself, and the calls are passed on. It makes up a `message_stop` that is missing behind a stop reason,
            and one before the message looks like those that it makes up.
    """
    try:
        return _Grammar(feature, hides_late=hides_late).read(events)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return INVALID


class _Grammar:
    """The state of one stream. Whatever is not allowed raises."""

    def __init__(self, feature: Feature, *, hides_late: bool) -> None:
        self._feature = feature
        self._hides_late = hides_late
        self._started = self._open = self._more = False
        self._ending: str | None = None
        self._blocks: list[Object] = []

    def read(self, events: Iterable[object]) -> Judgement:
        remaining = iter(events)
        for event in remaining:
            if self._hides_late and isinstance(event, dict) and not isinstance(event["type"], str):
                self._more = True
                continue
            if not isinstance(event, dict) or not isinstance(event["type"], str):
                raise TypeError("not an event")
            if event["type"] == "message_stop" and self._hides_late and not self._started:
                self._more = True
                continue
            if event["type"] == "message_stop":
                _require(self._ending is not None and not self._open)
                break
            if self._hides_late and event["type"] == "message_start" and self._ending == "tool_use":
                return Judgement("either", self._answer())
            self._next(event)
            if self._hides_late and self._ending in _CALLED_AGAIN:
                return Judgement("either", self._answer())
        else:
            if not (self._hides_late and self._ending is not None):
                return INVALID
            self._more = True
        rest = [event for event in remaining if not (isinstance(event, dict) and event.get("type") == "ping")]
        answer = self._answer()
        return Judgement("either" if rest or self._more or self._is_unsure(answer) else "valid", answer)

    def _next(self, event: Object) -> None:
        kind = event["type"]
        if kind == "error":
            raise ValueError("an error")
        if kind == "message_start":
            _require(not self._started and isinstance(event["message"], dict))
            self._started = True
        elif kind in {"content_block_start", "content_block_delta", "content_block_stop"}:
            _require(self._started and type(event["index"]) is int)
            if self._hides_late and kind == "content_block_delta" and self._is_late(event["index"]):
                self._more = True
                return
            _require(self._ending is None)
            self._block_event(kind, event)
        elif kind == "message_delta":
            _require(self._started and not self._open and event["delta"]["stop_reason"] in _STOP_REASONS)
            self._more = self._more or self._ending is not None
            self._ending = event["delta"]["stop_reason"]

    def _is_late(self, index: int) -> bool:
        """Return whether the block of this index was sent and has ended."""
        return 0 <= index < len(self._blocks) - self._open

    def _block_event(self, kind: str, event: Object) -> None:
        if kind == "content_block_start":
            _require(not self._open and event["index"] == len(self._blocks))
            block = event["content_block"]
            _require(block["type"] in {"text", "thinking", "tool_use"})
            if block["type"] == "tool_use":
                _require(isinstance(block["name"], str) and isinstance(block["id"], str))
            self._blocks.append({"start": block, "type": block["type"], "pieces": []})
            self._open = True
            return
        _require(self._open and event["index"] == len(self._blocks) - 1)
        if kind == "content_block_stop":
            self._open = False
            return
        delta = event["delta"]
        if delta["type"] != "signature_delta":
            _require(_BLOCK_OF_DELTA[delta["type"]] == self._blocks[-1]["type"])
            piece = delta[_DELTA_KEYS[delta["type"]]]
            _require(isinstance(piece, str))
            self._blocks[-1]["pieces"].append(piece)

    def _answer(self) -> Answer:
        texts = dict.fromkeys(("text", "thinking"), "")
        calls = []
        for block in self._blocks:
            joined = "".join(block["pieces"])
            if block["type"] == "tool_use":
                arguments = json.loads(joined or "{}") if self._ending != "max_tokens" else {}
                _require(isinstance(arguments, dict))
                calls.append((block["start"]["name"], sorted_arguments(arguments)))
            else:
                texts[block["type"]] += joined
        _require(bool(calls) == (self._ending == "tool_use"))
        if self._feature == "schema":
            value = json.loads(texts["text"])
            _require(set(value) == {"mark", "words"} and all(isinstance(part, str) for part in value.values()))
        text, thinking = (_repair_halves(texts[kind]) for kind in ("text", "thinking"))
        return Answer(text, thinking, tuple(calls), str(self._ending))

    def _is_unsure(self, answer: Answer) -> bool:
        """Return whether a gateway may also refuse: arguments that do not fit, an empty message, half characters."""
        fitting = all(set(json.loads(arguments)) == set(PARAMETERS["properties"]) for _, arguments in answer.calls)
        halves = "\ufffd" in answer.text + answer.thinking
        halves = halves or any("\\ufffd" in arguments for _, arguments in answer.calls)
        if self._feature == "schema":
            halves = halves or bool(_HALF.search(json.dumps(json.loads(answer.text), ensure_ascii=False)))
        return not fitting or halves or not (answer.text or answer.calls)


def sorted_arguments(arguments: Object) -> str:
    """Return the arguments of a call as JSON, to be compared. Half a character, which has several forms, is U+FFFD."""
    repaired = json.loads(_repair_halves(json.dumps(arguments, ensure_ascii=False)))
    return json.dumps(repaired, sort_keys=True)


def _require(holds: object) -> None:
    if not holds:
        raise ValueError("not allowed here")


def _repair_halves(text: str) -> str:
    """Return a text in which two halves are one character, and half a character is U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
