"""Content blocks as a stream sends them: a start and deltas. Split blocks, and cut them at a limit."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from dragoman.core.messages import Block, JSONObject
from dragoman.core.value_object import replace, value_object
from dragoman.simulator.json_values import object_of, objects_of, text_of
from dragoman.simulator.tokens import split_text

_CONTENT_DELTAS = frozenset({"text_delta", "thinking_delta", "input_json_delta"})
_INPUT_DELTA_CHARACTERS = 12


@value_object
class StreamedBlock:
    """One content block of a stream.

    Attributes:
        start: The `content_block` of `content_block_start`.
        deltas: The `delta` of each `content_block_delta`.
        hidden_tokens: Tokens of thinking that is not shown.
    """

    start: Block
    deltas: tuple[JSONObject, ...] = ()
    hidden_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Its output tokens: one for each content delta, one for a block without deltas, and the hidden ones."""
        content_deltas = sum(map(is_content_delta, self.deltas))
        return max(content_deltas, 0 if self.deltas else 1) + self.hidden_tokens


def is_content_delta(delta: JSONObject) -> bool:
    """Return whether a delta has text, thinking or input. Faults and tokens count only these deltas."""
    return delta["type"] in _CONTENT_DELTAS


def split_blocks(blocks: Iterable[Block], *, hidden_tokens: int = 0) -> Iterator[StreamedBlock]:
    """Split complete blocks into starts and deltas.

    Args:
        blocks: The blocks of a response that is not streamed.
        hidden_tokens: Tokens of thinking that is not shown. They count for the thinking block.
    """
    for block in blocks:
        match block.get("type"):
            case "text":
                yield _split_text(block)
            case "thinking":
                yield replace(_split_thinking(block), hidden_tokens=hidden_tokens)
            case "tool_use" | "server_tool_use":
                yield _split_call(block)
            case "redacted_thinking":
                yield StreamedBlock(block, hidden_tokens=hidden_tokens)
            case _:
                yield StreamedBlock(block)


def cut_blocks(blocks: Sequence[StreamedBlock], max_tokens: int) -> tuple[StreamedBlock, ...] | None:
    """Return the blocks up to a number of tokens, or None if all of them fit. Cut thinking keeps its signature."""
    if sum(block.tokens for block in blocks) <= max_tokens:
        return None
    result: list[StreamedBlock] = []
    remaining = max_tokens
    for block in blocks:
        if block.tokens > remaining:
            result += [_cut_block(block, remaining)] if remaining else []
            break
        result.append(block)
        remaining -= block.tokens
    return tuple(result)


def apply_stop_sequences(blocks: list[Block], sequences: list[str]) -> tuple[list[Block], str | None]:
    """Return the blocks up to the first stop sequence in a text, and that sequence."""
    for index, block in enumerate(blocks):
        text = text_of(block.get("text"))
        found = [(position, sequence) for sequence in sequences if (position := text.find(sequence)) >= 0]
        if found:
            position, sequence = min(found)
            last: list[Block] = [{**block, "text": text[:position]}] if position else []
            return [*blocks[:index], *last], sequence
    return blocks, None


def _split_text(block: Block) -> StreamedBlock:
    citations: list[JSONObject] = [
        {"type": "citations_delta", "citation": citation} for citation in objects_of(block.get("citations"))
    ]
    start: Block = {"type": "text", "text": ""} | ({"citations": []} if citations else {})
    texts: list[JSONObject] = [
        {"type": "text_delta", "text": piece} for piece in split_text(text_of(block.get("text")))
    ]
    return StreamedBlock(start, (*citations, *texts))


def _split_thinking(block: Block) -> StreamedBlock:
    texts: list[JSONObject] = [
        {"type": "thinking_delta", "thinking": piece} for piece in split_text(text_of(block.get("thinking")))
    ]
    signature: JSONObject = {"type": "signature_delta", "signature": block["signature"]}
    return StreamedBlock({"type": "thinking", "thinking": "", "signature": ""}, (*texts, signature))


def _split_call(block: Block) -> StreamedBlock:
    """Split a tool call. The API begins its input with an empty delta."""
    text = msgspec.json.encode(object_of(block.get("input"))).decode()
    starts = range(0, len(text), _INPUT_DELTA_CHARACTERS)
    pieces = ["", *(text[start : start + _INPUT_DELTA_CHARACTERS] for start in starts)]
    deltas: list[JSONObject] = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return StreamedBlock({**block, "input": {}}, tuple(deltas))


def _cut_block(block: StreamedBlock, max_tokens: int) -> StreamedBlock:
    deltas: list[JSONObject] = []
    remaining = max_tokens
    for delta in block.deltas:
        if not is_content_delta(delta) or remaining > 0:
            deltas.append(delta)
        remaining -= is_content_delta(delta)
    hidden_tokens = min(block.hidden_tokens, max(remaining, 0))
    return replace(block, deltas=tuple(deltas), hidden_tokens=hidden_tokens)
