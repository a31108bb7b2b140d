"""Errors of the admin API: plain JSON, in nobody's dialect."""

import msgspec

from dragoman.errors import GatewayError
from dragoman.wire.base import ErrorReply
from dragoman.wire.statuses import status_of


def encode_admin_error(error: GatewayError) -> ErrorReply:
    """An error as the admin API says it."""
    told = {"code": error.code, "message": error.message, "param": error.param, "request_id": error.request_id}
    return ErrorReply(status_of(error).http, msgspec.json.encode({"error": told}))
