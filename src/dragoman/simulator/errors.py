"""Errors of the API: their HTTP statuses, types, messages and bodies.

Source: https://platform.claude.com/docs/en/api/errors
"""

from collections.abc import Mapping
from types import MappingProxyType

from dragoman.core.messages import JSONObject

ERROR_TYPES: Mapping[int, str] = MappingProxyType(
    {
        400: "invalid_request_error",
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        405: "invalid_request_error",
        413: "request_too_large",
        422: "invalid_request_error",
        429: "rate_limit_error",
        500: "api_error",
        503: "api_error",
        504: "timeout_error",
        529: "overloaded_error",
    }
)
"""The API's error type of each HTTP status."""

DEFAULT_MESSAGES: Mapping[int, str] = MappingProxyType(
    {
        401: "invalid x-api-key",
        402: "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade "
        "or purchase credits.",
        403: "Your API key does not have permission to use the specified resource.",
        404: "Not found",
        413: "Request exceeds the maximum size",
        429: "This request would exceed your organization's rate limit. Please try again later.",
        500: "Internal server error",
        529: "Overloaded",
    }
)
"""The API's message of a status that has no details."""


class ApiError(Exception):
    """The API refuses the request.

    Attributes:
        status: The HTTP status.
        type: The API's error type.
        message: The API's message.
        headers: Further response headers (`retry-after`).
    """

    def __init__(
        self,
        status: int,
        message: str | None = None,
        *,
        type_: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.type = type_ or ERROR_TYPES.get(status, "api_error")
        self.message = message if message is not None else DEFAULT_MESSAGES.get(status, "Error")
        self.headers = dict(headers or {})
        super().__init__(self.message)

    def body(self, request_id: str) -> JSONObject:
        """Return the response body, which is also the data of an SSE `error` event."""
        return {
            "type": "error",
            "error": {"type": self.type, "message": self.message},
            "request_id": request_id,
        }


def invalid_request(message: str) -> ApiError:
    """Return a 400 `invalid_request_error` with this message. The caller raises it."""
    return ApiError(400, message)
