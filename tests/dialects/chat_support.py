"""Helpers for tests of the chat dialect: short requests, and scripted events of the Messages API."""

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any, cast

from dragoman.core.accumulate import AccumulatedMessage, MessageAccumulator, accumulate
from dragoman.core.catalog import Catalog
from dragoman.core.events import (
    BlockDelta,
    BlockStart,
    BlockStop,
    MessageDelta,
    MessageEvent,
    MessageStart,
    MessageStop,
)
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.base import DialectOptions, ResponseIdentity
from dragoman.dialects.chat.dialect import ChatDialect
from dragoman.dialects.chat.request import ChatRequest

OLD, NEWEST = "claude-sonnet-4-5", "claude-sonnet-5-5"
"""A model that takes most of the old parameters, and one that refuses most of them."""

IDENTITY = ResponseIdentity("run_0123456789abcdef0123456789abcdef", 1_760_000_000)
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\4\0\0\0\4" + bytes(36) + b"IEND\xaeB`\x82").decode()
PING: list[JSON] = [{"role": "user", "content": "ping"}]
WEATHER_SCHEMA: JSONObject = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER: JSONObject = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER_SCHEMA}}
USAGE: JSONObject = {"input_tokens": 7, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 3}


def dialect(**options: Any) -> ChatDialect:
    """Return the dialect with the operator's options."""
    return ChatDialect(Catalog(), DialectOptions(**options))


def raw(messages: Sequence[JSON] = PING, *, model: str | None = OLD, **fields: JSON) -> bytes:
    """Return a request body."""
    return json.dumps({"model": model, "messages": messages, **fields}).encode()


def decode(messages: Sequence[JSON] = PING, *, model: str = OLD, **fields: JSON) -> ChatRequest:
    """Decode a request with the default options."""
    return dialect().decode(raw(messages, model=model, **fields))


def call(id_: str = "c1", name: str = "get_weather", arguments: str | None = '{"city":"Paris"}') -> JSONObject:
    """Return a tool call as chat clients send it back."""
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def text(value: str) -> JSONObject:
    """Return a text block."""
    return {"type": "text", "text": value}


def warned(request: ChatRequest) -> list[tuple[str, str]]:
    """Return the code and the field of each warning."""
    return [(warning.code, warning.param) for warning in request.warnings]


def script(
    blocks: Iterable[JSONObject], stop_reason: str | None = "end_turn", piece: int = 3, **delta: JSON
) -> list[MessageEvent]:
    """Return the events of a response of these blocks, cut into pieces of `piece` characters."""
    message: JSONObject = {"id": "msg_1", "role": "assistant", "content": [], "usage": {**USAGE, "output_tokens": 1}}
    events: list[MessageEvent] = [MessageStart({"type": "message_start", "message": message})]
    for index, block in enumerate(blocks):
        empty, deltas = _pieces(block, piece)
        events.append(BlockStart(index, {"type": "content_block_start", "index": index, "content_block": empty}))
        events += [BlockDelta(index, {"type": "content_block_delta", "index": index, "delta": d}) for d in deltas]
        events.append(BlockStop(index, {"type": "content_block_stop", "index": index}))
    usage: JSONObject = {"output_tokens": 11, "output_tokens_details": {"thinking_tokens": 4}, "input_tokens": None}
    ending: JSONObject = {"stop_reason": stop_reason, "stop_sequence": None, **delta}
    events.append(MessageDelta({"type": "message_delta", "delta": ending, "usage": usage}))
    return passed_on([*events, MessageStop({"type": "message_stop"})])


def passed_on(events: Iterable[MessageEvent]) -> list[MessageEvent]:
    """Return the events as a run passes them on: with finished blocks and the accumulated message."""
    accumulator = MessageAccumulator()
    return [cast("MessageEvent", accumulator.add(event)) for event in events]


def plain(request: ChatRequest, *answers: AccumulatedMessage) -> Any:
    """Return the plain response's body, parsed."""
    return json.loads(dialect().encode(request, IDENTITY, answers))


def streamed(request: ChatRequest, *runs: Sequence[MessageEvent]) -> bytes:
    """Return the text stream; the choices take turns, one event each."""
    stream = dialect().encode_stream(request, IDENTITY)
    out = []
    for index in range(max(map(len, runs))):
        out += [stream.feed(run[index], choice) for choice, run in enumerate(runs) if index < len(run)]
    return b"".join([*out, stream.finish()])


def chunks(stream: bytes) -> list[Any]:
    """Return the payloads of a stream, parsed. Checks framing and the end mark."""
    assert stream.endswith(b"\n\n")
    frames = stream.decode().split("\n\n")[:-1]
    assert all(frame.startswith("data: ") for frame in frames)
    if frames[-1] == "data: [DONE]":
        frames.pop()
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


def only_choice(request: ChatRequest, blocks: Sequence[JSONObject], stop_reason: str = "end_turn", **delta: Any) -> Any:
    """Return the plain response's only choice."""
    return plain(request, accumulate(script(blocks, stop_reason, **delta)))["choices"][0]


def _pieces(block: JSONObject, piece: int) -> tuple[JSONObject, list[JSONObject]]:
    kind = block["type"]
    if kind == "text":
        deltas: list[JSONObject] = [{"type": "text_delta", "text": part} for part in _cut(str(block["text"]), piece)]
        cited = block.get("citations")
        deltas += [{"type": "citations_delta", "citation": one} for one in (cited if isinstance(cited, list) else ())]
        return {"type": "text", "text": ""}, deltas
    if kind == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": part} for part in _cut(str(block["thinking"]), piece)]
        return {**block, "thinking": "", "signature": ""}, [
            *deltas,
            {"type": "signature_delta", "signature": block["signature"]},
        ]
    if kind == "tool_use":
        written = block["input"] if isinstance(block["input"], str) else json.dumps(block["input"])
        parts = [""] if written == "{}" else ["", *_cut(written, piece)]
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in parts]
    return block, []


def _cut(text: str, piece: int) -> list[str]:
    return [text[start : start + piece] for start in range(0, len(text), piece)]
