"""An answer as the stream says it: blocks that open, and their deltas; and the limits that cut it short."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import msgspec

from dragoman.messages import Block, JSONObject
from dragoman.simulator.shapes import object_of, objects_of, text_of
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
