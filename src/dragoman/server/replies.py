"""Whole replies in two messages, and errors as replies."""

import math
from dataclasses import field

import structlog
from starlette.types import Send

from dragoman.errors import GatewayError, InternalError, QuotaExceeded, Unauthenticated
from dragoman.server.exchange import Exchange, RawHeaders
from dragoman.values import unchanging
from dragoman.wire.base import ErrorReply

log = structlog.get_logger("dragoman.server")

_JSON = (b"content-type", b"application/json")


@unchanging
class Reply:
    """A whole answer."""

    status: int
    body: bytes = b""
    headers: RawHeaders = field(default_factory=list)

    async def send(self, send: Send) -> None:
        """Send it."""
        headers = [(b"content-length", str(len(self.body)).encode()), *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def json_reply(status: int, body: bytes, headers: RawHeaders | None = None) -> Reply:
    """A reply that is JSON."""
    return Reply(status, body, [_JSON, *(headers or ())])


def error_reply(error: GatewayError, encoded: ErrorReply, headers: RawHeaders | None = None) -> Reply:
    """An error as its dialect says it, with the headers that tell clients what to do next."""
    return json_reply(encoded.status, encoded.body, [*(headers or ()), *_advice(error)])


def gateway_error(error: Exception, exchange: Exchange) -> GatewayError:
    """What the client is told of any failure; the inside of an unexpected one goes to the log alone."""
    if not isinstance(error, GatewayError):
        log.error("http.broke", request=exchange.id, path=exchange.path, exc_info=error)
        error = InternalError(f"Internal error. The gateway's log has the details under request id {exchange.id}.")
    error.request_id = exchange.id
    return error


def _advice(error: GatewayError) -> RawHeaders:
    headers: RawHeaders = []
    if error.retry_after is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after))).encode()))
    if isinstance(error, QuotaExceeded):
        # The official clients ask again after any 429, which helps nobody whose plan or credit is used up.
        headers.append((b"x-should-retry", b"false"))
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    return headers
