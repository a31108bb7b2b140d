"""The response object, in each of its states, and the encoding of a plain response."""

from typing import Literal

import msgspec

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.errors import GatewayError, InvalidRequest, QuotaExceeded, RateLimited
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import ResponseIdentity
from dragoman.dialects.responses.items import Status
from dragoman.dialects.responses.output import Output
from dragoman.dialects.responses.request import ResponsesRequest
from dragoman.dialects.shared.response_parts import refusal_text, response_id
from dragoman.dialects.shared.structured_output import arguments_warning
from dragoman.dialects.shared.usage import count_tokens

RESPONSE_ID_PREFIX = "resp_"

_INCOMPLETE_REASONS = {
    "max_tokens": "max_output_tokens",
    "model_context_window_exceeded": "max_output_tokens",
    "refusal": "content_filter",
}
"""Why a response is incomplete, by the API's `stop_reason`."""


@value_object
class Ending:
    """How a response ended.

    Attributes:
        incomplete_reason: Why it is incomplete; None if it is complete.
    """

    incomplete_reason: str | None = None

    @classmethod
    def of(cls, stop_reason: object) -> "Ending":
        """Return the ending for a `stop_reason` of the API."""
        return cls(_INCOMPLETE_REASONS.get(str(stop_reason)))

    @property
    def status(self) -> Status:
        """The status of the response."""
        return "incomplete" if self.incomplete_reason else "completed"

    @property
    def last_item_status(self) -> Status:
        """The status of the last item. A refused response is incomplete, but its last item is complete."""
        return "incomplete" if self.incomplete_reason == "max_output_tokens" else "completed"


class ResponseObject:
    """Builds the response object, in each state of one response."""

    def __init__(self, request: ResponsesRequest, identity: ResponseIdentity) -> None:
        self._fields: JSONObject = {
            "id": response_id(RESPONSE_ID_PREFIX, identity),
            "object": "response",
            "created_at": identity.created,
            "model": request.resolved.model.id,
            **request.settings,
        }

    def pending(self, status: Literal["queued", "in_progress"] = "in_progress") -> JSONObject:
        """Return the response before it has an output."""
        return self._build(status, [])

    def ended(self, message: AccumulatedMessage, output: list[JSON], now: int) -> JSONObject:
        """Return the response after its last item.

        Args:
            message: Claude's message, for its stop reason and its usage.
            output: The output items.
            now: Seconds since 1970.
        """
        ending = Ending.of(message.message.get("stop_reason"))
        reason = ending.incomplete_reason
        response = self._build(ending.status, output)
        response["completed_at"] = None if reason else now
        response["incomplete_details"] = {"reason": reason} if reason else None
        response["usage"] = usage_object(message)
        return response

    def failed(self, output: list[JSON], error: GatewayError) -> JSONObject:
        """Return the response after an error."""
        return {**self._build("failed", output), "error": error_object(error)}

    def cancelled(self, output: list[JSON]) -> JSONObject:
        """Return the response after it was cancelled."""
        return self._build("cancelled", output)

    def _build(self, status: str, output: list[JSON]) -> JSONObject:
        return {
            **self._fields,
            "status": status,
            "output": output,
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            "usage": None,
        }


def error_object(error: GatewayError) -> JSONObject:
    """Return an error as a response contains it. Responses have error codes of their own; the nearest is used."""
    if isinstance(error, RateLimited | QuotaExceeded):
        nearest = "rate_limit_exceeded"
    else:
        nearest = "invalid_prompt" if isinstance(error, InvalidRequest) else "server_error"
    return {"code": nearest, "message": error.message}


def usage_object(message: AccumulatedMessage) -> JSONObject:
    """Return the `usage` of a response."""
    counts = count_tokens([message.message.get("usage", {})])
    return {
        "input_tokens": counts.input,
        "input_tokens_details": {"cached_tokens": counts.cache_read, "cache_write_tokens": counts.cache_write},
        "output_tokens": counts.output,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning},
        "total_tokens": counts.input + counts.output,
    }


def encode_response(
    request: ResponsesRequest, identity: ResponseIdentity, message: AccumulatedMessage, now: int
) -> bytes:
    """Encode a plain response.

    Args:
        request: The request.
        identity: The response's id and time.
        message: Claude's message.
        now: Seconds since 1970.
    """
    output = Output(request, response_id("", identity))
    for index, block in enumerate(message.message.get("content", [])):
        output.add_block(block, message.arguments.get(index))
    end_output(output, message)
    return msgspec.json.encode(ResponseObject(request, identity).ended(message, output.items, now))


def end_output(output: Output, message: AccumulatedMessage) -> None:
    """Add Claude's refusal, if there is one, and close the last item."""
    if explanation := refusal_text(message.message):
        output.refuse(explanation)
    output.close_item(Ending.of(message.message.get("stop_reason")).last_item_status)


def argument_warnings(request: ResponsesRequest, message: AccumulatedMessage) -> tuple[RequestWarning, ...]:
    """Warn of function arguments that do not fit the client's schema. The client gets them unchanged."""
    calls = [block for block in message.message.get("content", []) if block.get("type") == "tool_use"]
    found = (
        arguments_warning(str(block.get("name")), block.get("input"), request.tool_schemas, "output")
        for block in calls
        if block.get("name") not in request.custom_tools
    )
    return tuple(warning for warning in found if warning)
