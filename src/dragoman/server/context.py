"""The context of one request: created by the middleware, filled by its handler, read by the log and the metrics."""

import copy
import re
import time
from collections.abc import Sequence
from typing import cast

from starlette.types import Message, Scope, Send

from dragoman.core.errors import GatewayError
from dragoman.core.ids import new_id
from dragoman.core.redaction import NO_SECRETS, Redactor
from dragoman.core.warnings import RequestWarning
from dragoman.dialects.base import ResponseIdentity
from dragoman.runs.response_cache import CachedRequest
from dragoman.runs.run import Run
from dragoman.server.body_budget import Reservation

RawHeaders = list[tuple[bytes, bytes]]

METHOD_NOT_ALLOWED = 405
CLIENT_CLOSED_REQUEST = 499
"""The status in the log when the client disconnected before a status was sent."""

_LIST_HEADERS = frozenset({b"anthropic-beta", b"content-encoding", b"access-control-request-headers"})
"""The headers that may have several lines, of those that the gateway reads."""

_BODY_HEADERS = frozenset({b"content-encoding", b"content-length"})
"""Headers that describe a body as it is sent, not as it is decoded."""

_VALID_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_SCOPE_KEY = "dragoman.context"
HEARTBEAT_KEY = "dragoman.heartbeat"
"""The key of a scope under which a started stream has the bytes that its client ignores."""

BODY_KEY = "dragoman.body"
"""The key of a scope under which the HTTP server has a function that returns the body if all of it has arrived."""

UNREAD_KEY = "dragoman.unread"
"""The key of a scope that says that the connection was ended because its client did not read the response."""


class RequestContext:
    """The state of one request. Never shared between requests.

    Attributes:
        id: The request id: the client's `x-request-id` when it is valid, else a new one.
        method: `GET`, `POST`, ….
        path: The path without its query.
        redactor: Removes the gateway's secrets from what is sent to the client.
        headers: The request headers, by lower-case name. Several lines of a list are joined; of others the last counts.
        deployment: The model that the path names, as in the paths of Azure's clients.
        client: The name of the client key, or `local`. Runs and limits use it.
        model: The id of the model, once it is known: limits may depend on it.
        authenticated: Whether a valid key was sent, or no key is required.
        is_operator: Whether the operator's key was sent, or no key is required.
        may_start_agents: Whether the client may start agents.
        reservation: The memory of a large body; None for others.
        response_headers: Headers that every response to this request gets.
        status: The status that was sent; 0 before.
        runs: The runs that serve the request.
        error: The error that refused the request or ended its response.
        log_fields: What the access log says about the request. Contains no text that people wrote.
        warnings: Warnings for the client, in addition to those of the runs.
        body: The body of a request that another process may answer, until that is decided.
        identity: What names the response, if another process had queued the request; None: this one names it.
        cached: How the request uses the response cache; None: it does not.
        stages: Seconds spent on the request before its runs, by stage.
        started_at: When the request arrived, on the clock of `time.perf_counter`.
    """

    __slots__ = (
        "_ended_at",
        "_send",
        "authenticated",
        "body",
        "cached",
        "client",
        "deployment",
        "error",
        "headers",
        "id",
        "identity",
        "is_operator",
        "log_fields",
        "may_start_agents",
        "method",
        "model",
        "path",
        "redactor",
        "reservation",
        "response_headers",
        "runs",
        "scope",
        "stages",
        "started_at",
        "status",
        "warnings",
    )

    def __init__(self, scope: Scope, send: Send, redactor: Redactor = NO_SECRETS) -> None:
        self._send = send
        self.redactor = redactor
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers = _joined(scope["headers"])
        self.deployment: str | None = None
        self.id = _request_id(self.headers.get(b"x-request-id"))
        self.response_headers: RawHeaders = [(b"x-request-id", self.id.encode())]
        self.client = "local"
        self.model = ""
        self.authenticated = False
        self.is_operator = False
        self.may_start_agents = False
        self.reservation: Reservation | None = None
        self.status = 0
        self.runs: Sequence[Run] = ()
        self.error: GatewayError | None = None
        self.log_fields: dict[str, object] = {}
        self.warnings: tuple[RequestWarning, ...] = ()
        self.body = b""
        self.identity: ResponseIdentity | None = None
        self.cached: CachedRequest | None = None
        self.stages: dict[str, float] = {}
        self.started_at = time.perf_counter()
        self._ended_at: float | None = None
        scope[_SCOPE_KEY] = self

    @property
    def seconds(self) -> float:
        """Return the seconds since the request arrived, until its end."""
        return (self._ended_at or time.perf_counter()) - self.started_at

    @property
    def disconnect_reason(self) -> str:
        """Return why the connection ended before the response was complete."""
        return "client did not read" if self.scope.get(UNREAD_KEY) else "client gone"

    def detached(self) -> "RequestContext":
        """Return the context of the same request for an endpoint that outlives it, and whose body was decoded.

        The reservation of the body is the copy's: the caller gives up its own.
        """
        other = copy.copy(self)
        other.scope = {**self.scope, _SCOPE_KEY: other}
        other.headers = {name: value for name, value in self.headers.items() if name not in _BODY_HEADERS}
        other.response_headers, other.log_fields, other.stages = [], {}, {}
        return other

    def send_to(self, send: Send) -> None:
        """Set what `send` sends to."""
        self._send = send

    def end(self) -> None:
        """Take note that the request is over, and leave its scope. They would keep each other alive."""
        self._ended_at = time.perf_counter()
        self.scope.pop(_SCOPE_KEY, None)

    async def send(self, message: Message) -> None:
        """Send an ASGI message. Add `response_headers` to the first one."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.response_headers]
        await self._send(message)


def get_context(scope: Scope) -> RequestContext:
    """Return the context of the request that a scope belongs to."""
    return cast("RequestContext", scope[_SCOPE_KEY])


def _joined(lines: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    headers = dict(lines)
    if len(headers) < len(lines):
        for name in _LIST_HEADERS & headers.keys():
            headers[name] = b", ".join(value for other, value in lines if other == name)
    return headers


def _request_id(sent: bytes | None) -> str:
    if sent is not None and _VALID_ID.fullmatch(sent):
        return sent.decode()
    return new_id("req_")
