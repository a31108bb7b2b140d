"""Errors in Anthropic's form: type and HTTP status of each cause.

Source: https://platform.claude.com/docs/en/api/errors
"""

from collections.abc import Mapping

import msgspec

from dragoman import errors
from dragoman.errors import GatewayError
from dragoman.messages import JSONObject
from dragoman.wire import statuses
from dragoman.wire.base import ErrorReply
from dragoman.wire.statuses import Status, status_of

STATUSES: Mapping[type[GatewayError], Status] = {
    **statuses.STATUSES,
    errors.NotFound: Status(404, "not_found_error"),
    errors.Conflict: Status(409, "conflict_error"),
    errors.RequestTooLarge: Status(413, "request_too_large"),
    errors.QuotaExceeded: Status(402, "billing_error"),
    errors.Overloaded: Status(529, "overloaded_error"),
    errors.TimedOut: Status(504, "timeout_error"),
}
"""What the API says otherwise than OpenAI's."""


def anthropic_error(error: GatewayError) -> JSONObject:
    """An error as a body, or as the data of an `error` event.

    Our own code and the field at fault stand in `details`, the place that the API has for more.
    """
    return {
        "type": "error",
        "error": {
            "type": status_of(error, STATUSES).type,
            "message": error.message,
            "details": {"code": error.code, "param": error.param},
        },
        "request_id": error.request_id,
    }


def anthropic_reply(error: GatewayError) -> ErrorReply:
    """An error before any answer began."""
    return ErrorReply(status_of(error, STATUSES).http, msgspec.json.encode(anthropic_error(error)))
