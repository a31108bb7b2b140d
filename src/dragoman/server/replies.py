"""Whole replies in two messages, and errors as replies.

What an answer's headers tell beside it.

Endpoints that answer at once, without a run.
"""

import json
import math
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import field
from typing import TypeAlias
from urllib.parse import parse_qsl

import structlog
from starlette.types import Receive, Scope, Send

from dragoman.core.errors import GatewayError, InternalError, InvalidRequest, QuotaExceeded, Unauthenticated
from dragoman.core.value_object import value_object
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import ErrorResponse
from dragoman.dialects.shared.validation import parse_digits
from dragoman.runs.engine import Engine
from dragoman.runs.run import Run
from dragoman.server.context import CLIENT_GONE, RawHeaders, RequestContext, get_context
from dragoman.server.disconnect import ClientGone

log = structlog.get_logger("dragoman.server")

_JSON = (b"content-type", b"application/json")


@value_object
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


def error_reply(error: GatewayError, encoded: ErrorResponse, headers: RawHeaders | None = None) -> Reply:
    """An error as its dialect says it, with the headers that tell clients what to do next."""
    return json_reply(encoded.status, encoded.body, [*(headers or ()), *_advice(error)])


def gateway_error(error: Exception, context: RequestContext) -> GatewayError:
    """What the client is told of any failure; the inside of an unexpected one goes to the log alone."""
    if not isinstance(error, GatewayError):
        log.error("http.broke", request=context.id, path=context.path, exc_info=error)
        error = InternalError(f"Internal error. The gateway's log has the details under request id {context.id}.")
    return error.with_request_id(context.id)


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


_MOST_WARNINGS = 20
_LONGEST_PARAM = 60


def answer_headers(context: RequestContext, runs: Sequence[Run]) -> RawHeaders:
    """The headers that tell of the first run that answers, of the time before it, and the warnings of all.

    An error has them as well, as far as it got.
    """
    headers: RawHeaders = []
    warnings, stages = context.warnings, context.stages
    if runs:
        first = runs[0]
        headers.append((b"x-dragoman-run-id", first.id.encode()))
        if first.path is not None:
            headers.append((b"x-dragoman-path", first.path.encode()))
        if first.upstream is not None:
            headers.append((b"x-dragoman-upstream", first.upstream.encode()))
        if warnings or any(run.warnings for run in runs):
            warnings = tuple(dict.fromkeys([*warnings, *(warning for run in runs for warning in run.warnings)]))
        stages = {**stages, **first.stages}
    headers.append((b"x-dragoman-warnings", _warnings(warnings)))
    if stages:
        headers.append((b"server-timing", _timing(stages)))
    return headers


def warning_headers(warnings: Collection[RequestWarning]) -> RawHeaders:
    """The header that names what was ignored, clamped or mapped: an empty list where nothing was."""
    return [(b"x-dragoman-warnings", _warnings(warnings))]


def rate_headers(engine: Engine) -> RawHeaders:
    """How much of the minute's requests is left, as the OpenAI API tells it."""
    limit, left = engine.rate.per_minute, engine.rate.remaining
    if limit is None or left is None:
        return []
    seconds = (limit - left) * 60 / limit
    return [
        (b"x-ratelimit-limit-requests", str(limit).encode()),
        (b"x-ratelimit-remaining-requests", str(left).encode()),
        (b"x-ratelimit-reset-requests", f"{seconds:.3f}s".encode()),
    ]


def _warnings(warnings: Collection[RequestWarning]) -> bytes:
    """Short, since proxies refuse long headers, and pure ASCII: names of fields are whatever the client wrote."""
    if not warnings:
        return b"[]"
    short = [{"code": warning.code, "param": warning.param[:_LONGEST_PARAM]} for warning in warnings]
    return json.dumps(short[:_MOST_WARNINGS], separators=(",", ":")).encode()


def _timing(stages: Mapping[str, float]) -> bytes:
    return ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in stages.items()).encode()


Handler: TypeAlias = Callable[[RequestContext, Receive], Awaitable[Reply | None]]
"""Answers a request; None where it has sent its answer itself."""


class PlainHandler:
    """An ASGI endpoint around a handler: every failure is said in the dialect.

    Args:
        handler: Answers.
        encode_error: Says what failed.
    """

    def __init__(self, handler: Handler, encode_error: Callable[[GatewayError], ErrorResponse]) -> None:
        self._handler = handler
        self._encode_error = encode_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the exchange sends
        """Answer one request."""
        context = get_context(scope)
        try:
            if reply := await self._handler(context, receive):
                await reply.send(context.send)
        except ClientGone:
            context.status = context.status or CLIENT_GONE
        except Exception as error:  # noqa: BLE001 - the last place where one can be answered
            if not context.status:
                context.error = gateway_error(error, context)
                await error_reply(context.error, self._encode_error(context.error)).send(context.send)


class Query:
    """The parameters in a request's address. OpenAI's clients write lists as `name[]=value`, others as `name=value`."""

    def __init__(self, context: RequestContext) -> None:
        self._pairs = parse_qsl(context.scope["query_string"].decode("latin-1"), keep_blank_values=True)

    def text(self, name: str) -> str | None:
        """One value."""
        return next((value for key, value in self._pairs if key == name), None)

    def texts(self, name: str) -> list[str]:
        """All values of a list."""
        return [value for key, value in self._pairs if key in (name, f"{name}[]")]

    def flag(self, name: str) -> bool:
        """Whether something is wanted."""
        return (self.text(name) or "").lower() in ("true", "1")

    def number(self, name: str, otherwise: int, *, most: int | None = None) -> int:
        """A number.

        Raises:
            InvalidRequest: It is none, or out of bounds.
        """
        given = self.text(name)
        if given is None:
            return otherwise
        value = parse_digits(given)
        if value is None or (most is not None and not 1 <= value <= most):
            bounds = f" from 1 to {most}" if most is not None else ""
            raise InvalidRequest(f"`{name}` must be a whole number{bounds}.", param=name)
        return value

    def inner(self, name: str) -> dict[str, str]:
        """An object, as `name[key]=value`."""
        found = [(key, value) for key, value in self._pairs if key.startswith(f"{name}[") and key.endswith("]")]
        return {key[len(name) + 1 : -1]: value for key, value in found}

    def descending(self, otherwise: str) -> bool:
        """Whether the newest is wanted first.

        Raises:
            InvalidRequest: The order is neither.
        """
        order = self.text("order") or otherwise
        if order not in ("asc", "desc"):
            raise InvalidRequest("`order` must be `asc` or `desc`.", param="order")
        return order == "desc"
