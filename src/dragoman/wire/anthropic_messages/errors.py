"""Errors in Anthropic's form: type and HTTP status of each cause, found by walking its MRO.

Source: https://platform.claude.com/docs/en/api/errors
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from dragoman import errors
from dragoman.errors import GatewayError
from dragoman.messages import JSONObject
from dragoman.wire.base import ErrorReply


@dataclass(frozen=True, slots=True)
class Status:
    """How a cause is answered.

    Attributes:
        http: The HTTP status.
        type: The API's error type.
    """

    http: int
    type: str


STATUSES: Mapping[type[GatewayError], Status] = {
    GatewayError: Status(500, "api_error"),
    errors.InvalidRequest: Status(400, "invalid_request_error"),
    errors.Unauthenticated: Status(401, "authentication_error"),
    errors.Forbidden: Status(403, "permission_error"),
    errors.NotFound: Status(404, "not_found_error"),
    errors.Conflict: Status(409, "invalid_request_error"),
    errors.RequestTooLarge: Status(413, "request_too_large"),
    errors.NotSignedIn: Status(401, "authentication_error"),
    errors.QuotaExceeded: Status(402, "billing_error"),
    errors.RateLimited: Status(429, "rate_limit_error"),
    errors.Overloaded: Status(529, "overloaded_error"),
    errors.UpstreamFailed: Status(502, "api_error"),
    errors.TimedOut: Status(504, "timeout_error"),
    errors.RunCancelled: Status(499, "api_error"),
    errors.ShuttingDown: Status(503, "api_error"),
    errors.NotInstalled: Status(501, "api_error"),
    errors.StoreFailed: Status(503, "api_error"),
    errors.InternalError: Status(500, "api_error"),
}


def status_of(error: GatewayError) -> Status:
    """The status of an error: that of the nearest class in its MRO which has one."""
    for cause in type(error).__mro__:
        if status := STATUSES.get(cause):
            return status
    raise AssertionError("GatewayError itself has a status")


def anthropic_error(error: GatewayError) -> JSONObject:
    """An error as a body, or as the data of an `error` event.

    Our own code and the field at fault stand in `details`, the place that the API has for more.
    """
    return {
        "type": "error",
        "error": {
            "type": status_of(error).type,
            "message": error.message,
            "details": {"code": error.code, "param": error.param},
        },
        "request_id": error.request_id,
    }


def anthropic_reply(error: GatewayError) -> ErrorReply:
    """An error before any answer began."""
    return ErrorReply(status_of(error).http, msgspec.json.encode(anthropic_error(error)))
