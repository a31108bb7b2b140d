"""Plain responses, error responses, and the headers that go with them."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field

import msgspec
from starlette.responses import Response
from starlette.types import Send

from dragoman.core import log
from dragoman.core.errors import (
    GatewayError,
    InternalError,
    QuotaExceeded,
    RequestTimeout,
    Unauthenticated,
    UnsupportedContentEncoding,
)
from dragoman.core.redaction import Redactor
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import ErrorResponse
from dragoman.limits.rules import Unit
from dragoman.runs.engine import Engine
from dragoman.runs.run import Run
from dragoman.server.content_coding import accept_encoding
from dragoman.server.context import RawHeaders, RequestContext

_JSON = (b"content-type", b"application/json")
_EXPLAIN = b"x-dragoman-explain-cache"
"""The header with which a client asks why Claude's cache was not read."""
_MAX_WARNINGS = 20
_RATE_HEADERS = {
    unit: tuple(f"x-ratelimit-{what}-{unit}".encode() for what in ("limit", "remaining", "reset"))
    for unit in (Unit.REQUESTS, Unit.TOKENS)
}
"""OpenAI's headers of each limit per minute."""
_MAX_PARAM_LENGTH = 60


@value_object
class Reply:
    """A complete response: status, body, headers."""

    status: int
    body: bytes = b""
    headers: RawHeaders = field(default_factory=list)

    async def send(self, send: Send) -> None:
        """Send the response as two ASGI messages."""
        headers = [(b"content-length", str(len(self.body)).encode()), *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def json_reply(status: int, body: bytes, headers: RawHeaders | None = None) -> Reply:
    """Build a JSON response from an encoded body."""
    return Reply(status, body, [_JSON, *(headers or ())])


def error_reply(error: GatewayError, encoded: ErrorResponse, headers: RawHeaders | None = None) -> Reply:
    """Build an error response, with the headers that tell the client whether, when and how to retry."""
    return json_reply(encoded.status, encoded.body, [*(headers or ()), *_retry_headers(error)])


def client_error(error: Exception, context: RequestContext) -> GatewayError:
    """Return the error to show to the client: every error of a reply passes here, and loses its secrets.

    Details of an unexpected error go to the log only.
    """
    if not isinstance(error, GatewayError):
        log.error("http.broke", request=context.id, path=context.path, exc_info=error)
        error = InternalError(f"Internal error. The gateway's log has the details under request id {context.id}.")
    return error.redacted(context.redactor.reply).with_request_id(context.id)


def _retry_headers(error: GatewayError) -> RawHeaders:
    headers: RawHeaders = []
    if error.retry_after is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after))).encode()))
    if isinstance(error, QuotaExceeded):
        # The official clients retry after any 429. A used-up plan or credit does not come back by a retry.
        headers.append((b"x-should-retry", b"false"))
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, RequestTimeout):
        headers.append((b"connection", b"close"))  # the rest of the request would follow on it
    if isinstance(error, UnsupportedContentEncoding):
        headers.append((b"accept-encoding", accept_encoding()))
    return headers


def json_response(body: Mapping[str, object], status: int = 200) -> Response:
    """Return a response of Starlette with a JSON body, for endpoints that are routed by it."""
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def run_headers(context: RequestContext, runs: Sequence[Run]) -> RawHeaders:
    """Return the headers about the first run, the stages before it, and the warnings of all runs.

    Error responses have them as well, as far as the request got.
    """
    headers: RawHeaders = []
    warnings, stages = context.warnings, context.stages
    if runs:
        first = runs[0]
        headers.append((b"x-dragoman-run-id", (first.source_id or first.id).encode()))
        if first.path is not None:
            headers.append((b"x-dragoman-path", first.path.encode()))
        if first.upstream is not None:
            headers.append((b"x-dragoman-upstream", first.upstream.encode()))
        if found := [*warnings, *[warning for run in runs for warning in run.warnings]]:
            warnings = tuple(dict.fromkeys(found))
        stages = {**stages, **first.stages}
    headers.append((b"x-dragoman-warnings", _encode_warnings(warnings, context.redactor)))
    if stages:
        headers.append((b"server-timing", _encode_timing(stages)))
    return headers


def warning_headers(warnings: Collection[RequestWarning], context: RequestContext) -> RawHeaders:
    """Return the header that lists what was ignored, clamped or mapped; an empty list without warnings."""
    return [(b"x-dragoman-warnings", _encode_warnings(warnings, context.redactor))]


def rate_headers(engine: Engine, context: RequestContext) -> RawHeaders:
    """Return OpenAI's headers about the requests and tokens left in this minute, for the scope with the least left."""
    if engine.meter is None:
        return []
    headers: RawHeaders = []
    for rule, remaining in engine.meter.tightest(context.client, context.model):
        limit_name, remaining_name, reset_name = _RATE_HEADERS[rule.unit]
        headers += [
            (limit_name, b"%d" % rule.amount),
            (remaining_name, b"%d" % remaining),
            (reset_name, b"%.3fs" % ((rule.amount - remaining) * 60 / rule.amount)),
        ]
    return headers


def cache_headers(engine: Engine, context: RequestContext, runs: Sequence[Run]) -> RawHeaders:
    """Return the header that says what the first run has read from Claude's cache, if the client asks for it."""
    if not runs or _EXPLAIN not in context.headers:
        return []
    use = engine.cache_misses.use_of(runs[0])
    return [(b"x-dragoman-cache-miss", json.dumps(use.as_json(), separators=(",", ":")).encode())] if use else []


def warning_codes(warnings: Collection[RequestWarning]) -> list[str] | None:
    """Return warnings in the form of the access log: `code:param`; None without warnings."""
    return [f"{warning.code}:{warning.param}" for warning in warnings] or None


def _encode_warnings(warnings: Collection[RequestWarning], redactor: Redactor) -> bytes:
    """Encode warnings as short ASCII JSON. Proxies refuse long headers, and clients choose the names of fields."""
    if not warnings:
        return b"[]"
    short = [{"code": warning.code, "param": redactor.reply(warning.param)[:_MAX_PARAM_LENGTH]} for warning in warnings]
    return json.dumps(short[:_MAX_WARNINGS], separators=(",", ":")).encode()


def _encode_timing(stages: Mapping[str, float]) -> bytes:
    return ", ".join([f"{name};dur={seconds * 1000:.1f}" for name, seconds in stages.items()]).encode()
