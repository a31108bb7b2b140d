"""Whole answers as a response."""

from collections.abc import Iterator
from itertools import chain

from dragoman.errors import UpstreamFailed
from dragoman.fold import Folded
from dragoman.messages import Block, JSONObject
from dragoman.notices import Notice
from dragoman.wire.answers import answer_id, refusal_of
from dragoman.wire.base import Identity
from dragoman.wire.checks import check_arguments, text_fault
from dragoman.wire.openai_responses.envelope import Ending, Envelope
from dragoman.wire.openai_responses.output import Output
from dragoman.wire.openai_responses.places import Events
from dragoman.wire.openai_responses.request import ResponsesRequest
from dragoman.wire.usage import counts_of


def response(request: ResponsesRequest, identity: Identity, answer: Folded, now: int) -> JSONObject:
    """The response object of a plain answer."""
    ending = Ending.of(answer.message.get("stop_reason"))
    output = Output(request, answer_id("", identity))
    for index, block in enumerate(answer.message.get("content", [])):
        _run(_replayed(output, block, answer.arguments.get(index)))
    if why := refusal_of(answer.message):
        _run(output.refuse(why))
    _run(output.close(ending.last_item))
    counts = counts_of([answer.message.get("usage", {})])
    return Envelope(request, identity).ended(ending, output.items, counts, now)


def review(request: ResponsesRequest, answer: Folded) -> tuple[Notice, ...]:
    """Tool arguments that do not fit the client's own schemas. The client gets them all the same."""
    calls = [block for block in answer.message.get("content", []) if block.get("type") == "tool_use"]
    found = (
        check_arguments(str(block.get("name")), block.get("input"), request.tool_schemas, "output")
        for block in calls
        if block.get("name") not in request.custom
    )
    return tuple(notice for notice in found if notice)


def fault(request: ResponsesRequest, answer: Folded) -> UpstreamFailed | None:
    """What does not fit `text.format`. Calls are not held to it: the text comes in a later turn."""
    blocks = answer.message.get("content", [])
    if request.answer_format is None or any(block.get("type") == "tool_use" for block in blocks):
        return None
    text = "".join(str(block.get("text") or "") for block in blocks if block.get("type") == "text")
    return text_fault(text, answer.message.get("stop_reason"), request.answer_format)


def _replayed(output: Output, block: Block, written: str | None) -> Events:
    """What a stream would have told of a block."""
    bare = {key: value for key, value in block.items() if key not in ("text", "citations")}
    yield from output.start({**bare, "input": {}} if written else bare)
    yield from chain.from_iterable(map(output.delta, _deltas(block, written)))
    yield from output.stop()


def _deltas(block: Block, written: str | None) -> Iterator[JSONObject]:
    if isinstance(text := block.get("text"), str):
        yield {"type": "text_delta", "text": text}
    citations = block.get("citations")
    for citation in citations if isinstance(citations, list) else ():
        yield {"type": "citations_delta", "citation": citation}
    if written:
        yield {"type": "input_json_delta", "partial_json": written}


def _run(events: Events) -> None:
    for _ in events:
        pass
