"""From a request to the whole answer, and from the answer to the events of its stream."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

from dragoman.events import BlockDelta, BlockStart, BlockStop, MessageDelta, MessageEvent, MessageStart, MessageStop
from dragoman.fold import fold
from dragoman.messages import Block, JSONObject
from dragoman.simulator.answers import compose
from dragoman.simulator.answers.thinking import is_redacted, is_shown, thinking_block, thoughts
from dragoman.simulator.cache import CacheUse
from dragoman.simulator.call import Call
from dragoman.simulator.fault import Fault
from dragoman.simulator.parts import Part, limited, parts_of, stopped
from dragoman.simulator.prompts import Prompt
from dragoman.simulator.rules.signatures import mismatches
from dragoman.simulator.shapes import list_of, number_of, text_of
from dragoman.simulator.tokens import pieces


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
        message = cast("JSONObject", fold(self.events()).message)
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
    parts = [*_thinking(call, prompt), *parts_of(blocks, hidden=0)]
    reason = "stop_sequence" if sequence else "tool_use" if calls else "end_turn"
    done = Draft(tuple(parts), reason, sequence, _message(call, use, id_))
    return _cut(done, call, fault)


def _given(fault: Fault) -> list[Block]:
    return [dict(cast("Block", block)) for block in fault.content]


def _thinking(call: Call, prompt: Prompt) -> list[Part]:
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
