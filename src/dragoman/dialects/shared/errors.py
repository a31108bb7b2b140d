"""Errors of the OpenAI dialects: the HTTP status and the error `type` of each kind of error."""

from collections.abc import Mapping

import msgspec

from dragoman.core import errors
from dragoman.core.errors import GatewayError
from dragoman.core.messages import JSONObject
from dragoman.core.value_object import value_object
from dragoman.dialects.base import ErrorResponse


@value_object
class Status:
    """How a kind of error is encoded.

    Attributes:
        http: The HTTP status.
        type: The `type` of the error object.
    """

    http: int
    type: str


STATUSES: Mapping[type[GatewayError], Status] = {
    GatewayError: Status(500, "api_error"),
    errors.InvalidRequest: Status(400, "invalid_request_error"),
    errors.Unauthenticated: Status(401, "authentication_error"),
    errors.Forbidden: Status(403, "permission_error"),
    errors.NotFound: Status(404, "invalid_request_error"),
    errors.Conflict: Status(409, "invalid_request_error"),
    errors.KeyReused: Status(422, "invalid_request_error"),
    errors.RequestTooLarge: Status(413, "invalid_request_error"),
    errors.RequestTimeout: Status(408, "invalid_request_error"),
    errors.UnsupportedContentEncoding: Status(415, "invalid_request_error"),
    errors.NotSignedIn: Status(401, "authentication_error"),
    errors.QuotaExceeded: Status(429, "insufficient_quota"),
    errors.RateLimited: Status(429, "rate_limit_error"),
    errors.Overloaded: Status(503, "api_error"),
    errors.UpstreamFailed: Status(502, "api_error"),
    errors.TimedOut: Status(504, "api_error"),
    # The status of gRPC's mapping. Clients raise it, and none of them retries it.
    errors.RunCancelled: Status(499, "api_error"),
    errors.ShuttingDown: Status(503, "api_error"),
    errors.NotInstalled: Status(501, "api_error"),
    errors.StoreFailed: Status(503, "api_error"),
    errors.InternalError: Status(500, "api_error"),
}


def status_of(error: GatewayError, statuses: Mapping[type[GatewayError], Status] = STATUSES) -> Status:
    """Return the status of an error: that of the nearest class in its MRO with a row in the table.

    Args:
        error: The error.
        statuses: The dialect's table. It has a row for `GatewayError` itself.
    """
    return next(status for cause in type(error).__mro__ if (status := statuses.get(cause)))


def openai_error(error: GatewayError) -> JSONObject:
    """Return the error object of the OpenAI dialects. It always has all four keys."""
    return {
        "message": error.message,
        "type": status_of(error).type,
        "param": error.param,
        "code": error.code,
    }


def openai_error_response(error: GatewayError) -> ErrorResponse:
    """Encode an error that ends the request before a response began."""
    body = msgspec.json.encode({"error": openai_error(error)})
    return ErrorResponse(status_of(error).http, body)
