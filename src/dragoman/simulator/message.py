"""An answer as the stream says it: blocks that open, and their deltas; and the limits that cut it short.

From a request to the whole answer, and from the answer to the events of its stream.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import cast

import msgspec

from dragoman.core.accumulate import accumulate
from dragoman.core.events import (
    BlockDelta,
    BlockStart,
    BlockStop,
    MessageDelta,
    MessageEvent,
    MessageStart,
    MessageStop,
)
from dragoman.core.messages import Block, JSONObject
from dragoman.simulator.answers.compose import compose
from dragoman.simulator.answers.text import is_redacted, is_shown, thinking_block, thoughts
from dragoman.simulator.cache import CacheUse
from dragoman.simulator.faults import Fault
from dragoman.simulator.json_values import list_of, number_of, object_of, objects_of, text_of
from dragoman.simulator.request import Call, Prompt
from dragoman.simulator.rules.thinking import mismatches
from dragoman.simulator.tokens import pieces

_SPOKEN = frozenset({"text_delta", "thinking_delta", "input_json_delta"})


@dataclass(frozen=True, slots=True)
class Part:
    """One content block of a stream.

    Attributes:
        start: The `content_block` of `content_block_start`.
        deltas: The `delta` of each `content_block_delta`.
        hidden: Tokens that were made but are not shown (omitted thinking).
    """

    start: Block
    deltas: tuple[JSONObject, ...] = ()
    hidden: int = 0

    @property
    def spoken(self) -> int:
        """The deltas that say something: those that a fault counts."""
        return sum(delta["type"] in _SPOKEN for delta in self.deltas)

    @property
    def tokens(self) -> int:
        """Output tokens: one a spoken delta, one for a block that comes whole, and the hidden ones."""
        return max(self.spoken, 0 if self.deltas else 1) + self.hidden


def parts_of(blocks: Iterable[Block], *, hidden: int) -> Iterator[Part]:
    """Take final blocks apart.

    Args:
        blocks: The blocks as a plain answer holds them.
        hidden: Tokens of thinking that is not shown, counted with the thinking block.
    """
    for block in blocks:
        match block.get("type"):
            case "text":
                yield _text(block)
            case "thinking":
                yield replace(_thinking(block), hidden=hidden)
            case "tool_use" | "server_tool_use":
                yield _tool_use(block)
            case "redacted_thinking":
                yield Part(block, hidden=hidden)
            case _:
                yield Part(block)


def limited(parts: list[Part], most: int) -> list[Part] | None:
    """The parts up to a number of tokens, or None where they fit. Cut thinking keeps its signature."""
    if sum(part.tokens for part in parts) <= most:
        return None
    kept, left = [], most
    for part in parts:
        if part.tokens > left:
            kept += [_shortened(part, left)] if left else []
            break
        kept.append(part)
        left -= part.tokens
    return kept


def stopped(blocks: list[Block], sequences: list[str]) -> tuple[list[Block], str | None]:
    """The blocks up to the first stop sequence in a text, and that sequence."""
    for place, block in enumerate(blocks):
        text = text_of(block.get("text"))
        hits = [(at, sequence) for sequence in sequences if (at := text.find(sequence)) >= 0]
        if hits:
            at, sequence = min(hits)
            last: list[Block] = [{**block, "text": text[:at]}] if at else []
            return [*blocks[:place], *last], sequence
    return blocks, None


def _text(block: Block) -> Part:
    citations: list[JSONObject] = [
        {"type": "citations_delta", "citation": citation} for citation in objects_of(block.get("citations"))
    ]
    start: Block = {"type": "text", "text": ""} | ({"citations": []} if citations else {})
    words: list[JSONObject] = [{"type": "text_delta", "text": piece} for piece in pieces(text_of(block.get("text")))]
    return Part(start, tuple(citations) + tuple(words))


def _thinking(block: Block) -> Part:
    words: list[JSONObject] = [
        {"type": "thinking_delta", "thinking": piece} for piece in pieces(text_of(block.get("thinking")))
    ]
    signature: JSONObject = {"type": "signature_delta", "signature": block["signature"]}
    return Part({"type": "thinking", "thinking": "", "signature": ""}, (*words, signature))


def _tool_use(block: Block) -> Part:
    written = msgspec.json.encode(object_of(block.get("input"))).decode()
    first: JSONObject = {"type": "input_json_delta", "partial_json": ""}
    rest: list[JSONObject] = [{"type": "input_json_delta", "partial_json": p} for p in _slices(written)]
    return Part({**block, "input": {}}, (first, *rest))


def _slices(text: str, size: int = 12) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


def _shortened(part: Part, most: int) -> Part:
    kept: list[JSONObject] = []
    for delta in part.deltas:
        if delta["type"] not in _SPOKEN or most > 0:
            kept.append(delta)
        most -= delta["type"] in _SPOKEN
    return replace(part, deltas=tuple(kept), hidden=min(part.hidden, max(most, 0)))


@dataclass(frozen=True, slots=True)
class Draft:
    """A whole answer, ready to be streamed.

    Attributes:
        parts: Its content blocks.
        stop_reason: Why it ends.
        stop_sequence: The stop sequence that ended it.
        message: The `message` of `message_start`, with the input side of usage.
    """

    parts: tuple[Part, ...]
    stop_reason: str
    stop_sequence: str | None
    message: JSONObject

    def events(self) -> Iterator[MessageEvent]:
        """The events of the stream, in order."""
        yield MessageStart({"type": "message_start", "message": self.message})
        for index, part in enumerate(self.parts):
            yield BlockStart(index, {"type": "content_block_start", "index": index, "content_block": part.start})
            for delta in part.deltas:
                yield BlockDelta(index, {"type": "content_block_delta", "index": index, "delta": delta})
            yield BlockStop(index, {"type": "content_block_stop", "index": index})
        yield MessageDelta(self._ending())
        yield MessageStop({"type": "message_stop"})

    def folded(self) -> JSONObject:
        """The plain answer: the same events, put together."""
        message = cast("JSONObject", accumulate(self.events()).message)
        for block in cast("list[Block]", message["content"]):
            # Input that `max_tokens` cut is no JSON; a plain answer has no place for its text.
            if isinstance(block.get("input"), str):
                block["input"] = {}
        return message

    def _ending(self) -> JSONObject:
        delta: JSONObject = {
            "stop_reason": self.stop_reason,
            "stop_sequence": self.stop_sequence,
            "stop_details": _details(self.stop_reason),
        }
        return {"type": "message_delta", "delta": delta, "usage": self.usage()}

    def usage(self) -> JSONObject:
        """Cumulative usage, input side included, as the API reports it at the end."""
        start = cast("JSONObject", self.message["usage"])
        thought = sum(part.tokens for part in self.parts if "thinking" in text_of(part.start.get("type")))
        searches = sum(part.start.get("name") == "web_search" for part in self.parts)
        usage: JSONObject = {
            "input_tokens": start["input_tokens"],
            "cache_creation_input_tokens": start["cache_creation_input_tokens"],
            "cache_read_input_tokens": start["cache_read_input_tokens"],
            "output_tokens": max(sum(part.tokens for part in self.parts), 1),
            "output_tokens_details": {"thinking_tokens": thought},
        }
        if searches:
            usage["server_tool_use"] = {"web_search_requests": searches, "web_fetch_requests": 0}
        return usage


def draft(call: Call, prompt: Prompt, fault: Fault, use: CacheUse, id_: str) -> Draft:
    """The answer to a request.

    Args:
        call: The request.
        prompt: What it asks for.
        fault: What it shall say, and where it shall stop early.
        use: Where its input tokens came from.
        id_: The message id.
    """
    sequences = [text for text in map(text_of, list_of(call.body.get("stop_sequences"))) if text]
    blocks, sequence = stopped(_given(fault) or compose(call, prompt), sequences)
    calls = any(block.get("type") == "tool_use" for block in blocks)
    parts = [*_thinking_blocks(call, prompt), *parts_of(blocks, hidden=0)]
    reason = "stop_sequence" if sequence else "tool_use" if calls else "end_turn"
    done = Draft(tuple(parts), reason, sequence, _message(call, use, id_))
    return _cut(done, call, fault)


def _given(fault: Fault) -> list[Block]:
    return [dict(cast("Block", block)) for block in fault.content]


def _thinking_blocks(call: Call, prompt: Prompt) -> list[Part]:
    text = thoughts(call, prompt)
    redacted = is_redacted(prompt)
    if not text and not redacted:
        return []
    shown = text if is_shown(call) and not redacted else ""
    block = thinking_block(call, shown, redacted=redacted)
    return list(parts_of([block], hidden=0 if shown else len(pieces(text))))


def _cut(done: Draft, call: Call, fault: Fault) -> Draft:
    """The answer within `max_tokens`, and ended where the fault says."""
    short = limited(list(done.parts), number_of(call.body.get("max_tokens")) or 0)
    if short is not None:
        done = replace(done, parts=tuple(short), stop_reason="max_tokens", stop_sequence=None)
    if fault.stop_reason:
        spoken = _first_spoken(done.parts, fault.after) if fault.after is not None else done.parts
        done = replace(done, parts=spoken, stop_reason=fault.stop_reason, stop_sequence=None)
    return done


def _first_spoken(parts: tuple[Part, ...], most: int) -> tuple[Part, ...]:
    """The parts up to a number of deltas; hidden thinking does not count."""
    bare = [replace(part, hidden=0) for part in parts]
    short = limited(bare, most)
    return parts if short is None else tuple(short)


def _message(call: Call, use: CacheUse, id_: str) -> JSONObject:
    usage: JSONObject = {
        **use.usage(),
        "output_tokens": 1,
        "service_tier": "standard",
        "inference_geo": "not_available",
    }
    message: JSONObject = {
        "id": id_,
        "type": "message",
        "role": "assistant",
        "model": call.model.id,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": usage,
    }
    if "block_binding" in call.thinking:
        message["input_transformations"] = [
            {"type": "thinking_dropped", "path": mismatch.path, "reason": mismatch.reason}
            for mismatch in mismatches(call)
        ]
    return message


def _details(stop_reason: str) -> JSONObject | None:
    if stop_reason != "refusal":
        return None
    return {"type": "refusal", "category": "general_harms", "explanation": "The simulated request was refused."}
