"""The response object, in each of its states, and the encoding of a plain response."""

from typing import Literal

import msgspec

from dragoman.core.accumulate import AccumulatedMessage
from dragoman.core.errors import GatewayError, InvalidRequest, QuotaExceeded, RateLimited
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import ResponseIdentity
from dragoman.dialects.responses.compaction import missing_summary
from dragoman.dialects.responses.output import Ending, output_of
from dragoman.dialects.responses.request import ResponsesRequest
from dragoman.dialects.shared.response_parts import response_id
from dragoman.dialects.shared.structured_output import arguments_warning, format_mismatch
from dragoman.dialects.shared.usage import count_tokens

RESPONSE_ID_PREFIX = "resp_"


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
    output = output_of(request, response_id("", identity))
    for index, block in enumerate(message.message.get("content", [])):
        output.add_block(block, message.arguments.get(index))
    output.end(message)
    return msgspec.json.encode(ResponseObject(request, identity).ended(message, output.items, now))


def unusable_answer(request: ResponsesRequest, message: AccumulatedMessage) -> GatewayError | None:
    """Return the error of a message that is not what the client asked for: a text in a format, or a summary."""
    if request.encrypt_summary:
        return missing_summary(message)
    return format_mismatch(message, request.output_format)


def argument_warnings(request: ResponsesRequest, message: AccumulatedMessage) -> tuple[RequestWarning, ...]:
    """Warn of function arguments that do not fit the client's schema. The client gets them unchanged."""
    calls = [block for block in message.message.get("content", []) if block.get("type") == "tool_use"]
    found = (_arguments_warning(request, str(block.get("name")), block.get("input")) for block in calls)
    return tuple(warning for warning in found if warning)


def _arguments_warning(request: ResponsesRequest, flat_name: str, arguments: JSON) -> RequestWarning | None:
    binding = request.bindings.get(flat_name)
    if binding is None or binding.custom:
        return None
    schemas = {binding.name: request.tool_schemas.get(flat_name, {})}
    return arguments_warning(binding.name, arguments, schemas, "output")
