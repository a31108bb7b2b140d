"""The response object around the output.

Whole answers as a response.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.errors import GatewayError, InvalidRequest, QuotaExceeded, RateLimited, UpstreamFailed
from dragoman.core.messages import JSON, Block, JSONObject
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import ResponseIdentity
from dragoman.dialects.responses.items import Events, Status
from dragoman.dialects.responses.output import Output
from dragoman.dialects.responses.request import ResponsesRequest
from dragoman.dialects.shared.answers import answer_id, refusal_of
from dragoman.dialects.shared.structured_output import check_arguments, text_fault
from dragoman.dialects.shared.usage import Counts, counts_of

_CUT = {
    "max_tokens": "max_output_tokens",
    "model_context_window_exceeded": "max_output_tokens",
    "refusal": "content_filter",
}
"""Why an answer is incomplete, by the API's `stop_reason`."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an answer ended.

    Attributes:
        reason: Why it is incomplete; none where it is whole.
    """

    reason: str | None = None

    @classmethod
    def of(cls, stop_reason: object) -> "Ending":
        """The ending by the API's word."""
        return cls(_CUT.get(str(stop_reason)))

    @property
    def status(self) -> Status:
        """The status of the response."""
        return "incomplete" if self.reason else "completed"

    @property
    def last_item(self) -> Status:
        """The status of the last item: what was refused is cut as well, but said to its end."""
        return "incomplete" if self.reason == "max_output_tokens" else "completed"


class Envelope:
    """Makes the response object, at each state of one answer."""

    def __init__(self, request: ResponsesRequest, identity: ResponseIdentity) -> None:
        self._fixed: JSONObject = {
            "id": answer_id("resp_", identity),
            "object": "response",
            "created_at": identity.created,
            "model": request.resolved.model.id,
            **request.echo,
        }

    def begun(self, status: str = "in_progress") -> JSONObject:
        """While the answer is being made, or waits for it."""
        return self._made(status, [])

    def ended(self, ending: Ending, output: list[JSON], counts: Counts, now: int) -> JSONObject:
        """Once it is made.

        Args:
            ending: How it ended.
            output: The items.
            counts: Its tokens.
            now: Seconds since 1970.
        """
        details: JSONObject | None = {"reason": ending.reason} if ending.reason else None
        done = None if ending.reason else now
        made = self._made(ending.status, output)
        return {**made, "completed_at": done, "incomplete_details": details, "usage": usage_of(counts)}

    def failed(self, output: list[JSON], error: GatewayError) -> JSONObject:
        """When it broke off."""
        return {**self._made("failed", output), "error": failure(error)}

    def cancelled(self, output: list[JSON]) -> JSONObject:
        """When nobody wanted it any more."""
        return self._made("cancelled", output)

    def _made(self, status: str, output: list[JSON]) -> JSONObject:
        return {
            **self._fixed,
            "status": status,
            "output": output,
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            "usage": None,
        }


def failure(error: GatewayError) -> JSONObject:
    """An error inside of a response, which has codes of its own: the nearest of them."""
    if isinstance(error, RateLimited | QuotaExceeded):
        nearest = "rate_limit_exceeded"
    else:
        nearest = "invalid_prompt" if isinstance(error, InvalidRequest) else "server_error"
    return {"code": nearest, "message": error.message}


def usage_of(counts: Counts) -> JSONObject:
    """Token counts, as responses say them."""
    return {
        "input_tokens": counts.input,
        "input_tokens_details": {"cached_tokens": counts.read, "cache_write_tokens": counts.written},
        "output_tokens": counts.output,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning},
        "total_tokens": counts.input + counts.output,
    }


def response(request: ResponsesRequest, identity: ResponseIdentity, answer: AccumulatedMessage, now: int) -> JSONObject:
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


def response_warnings(request: ResponsesRequest, answer: AccumulatedMessage) -> tuple[RequestWarning, ...]:
    """Tool arguments that do not fit the client's own schemas. The client gets them all the same."""
    calls = [block for block in answer.message.get("content", []) if block.get("type") == "tool_use"]
    found = (
        check_arguments(str(block.get("name")), block.get("input"), request.tool_schemas, "output")
        for block in calls
        if block.get("name") not in request.custom
    )
    return tuple(warning for warning in found if warning)


def fault(request: ResponsesRequest, answer: AccumulatedMessage) -> UpstreamFailed | None:
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
