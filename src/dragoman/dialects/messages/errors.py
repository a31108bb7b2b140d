"""Errors, as the Messages API encodes them.

Source: https://platform.claude.com/docs/en/api/errors
"""

from collections.abc import Mapping

import msgspec

from dragoman.core import errors
from dragoman.core.errors import GatewayError
from dragoman.core.messages import JSONObject
from dragoman.dialects.base import ErrorResponse
from dragoman.dialects.shared.errors import STATUSES as OPENAI_STATUSES
from dragoman.dialects.shared.errors import Status, status_of

STATUSES: Mapping[type[GatewayError], Status] = {
    **OPENAI_STATUSES,
    errors.NotFound: Status(404, "not_found_error"),
    errors.Conflict: Status(409, "conflict_error"),
    errors.RequestTooLarge: Status(413, "request_too_large"),
    errors.QuotaExceeded: Status(402, "billing_error"),
    errors.Overloaded: Status(529, "overloaded_error"),
    errors.TimedOut: Status(504, "timeout_error"),
}
"""The statuses of OpenAI's API, with those that the Messages API has instead."""


def anthropic_error(error: GatewayError) -> JSONObject:
    """Return an error as a body, or as the data of an `error` event.

    The message is the API's own if the API refused the request: agents read figures from it. Our own code and the
    field's name are in `details`, the API's place for additional information.
    """
    return {
        "type": "error",
        "error": {
            "type": status_of(error, STATUSES).type,
            "message": error.upstream_message or error.message,
            "details": {"code": error.code, "param": error.param},
        },
        "request_id": error.request_id,
    }


def anthropic_error_response(error: GatewayError) -> ErrorResponse:
    """Encode an error that ends the request before a response began."""
    return ErrorResponse(status_of(error, STATUSES).http, msgspec.json.encode(anthropic_error(error)))
