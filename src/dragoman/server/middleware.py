"""One line for each request. Nothing of what people write, and no key, ever stands in it.

Which requests are answered in Anthropic's form, where the path alone does not say, and the name they know theirs by.

Anthropic's clients send `anthropic-version` with everything, and nobody else does.

Which `Host` a request may name. A web page that rebinds its own name to this machine names a foreign one.

Which web pages may use the gateway: none but its own, unless the owner allowed their origin.

The door: every request comes in here, passes the gates, and leaves a line in the log and the metrics.
"""

import ipaddress
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from dragoman.core.errors import Forbidden, GatewayError, InvalidRequest, NotFound
from dragoman.dialects.base import ErrorResponse
from dragoman.server.context import NO_SUCH_METHOD, RequestContext
from dragoman.server.replies import Reply, error_reply, gateway_error

log = structlog.get_logger("dragoman.http")


def log_access(context: RequestContext) -> None:
    """Write the line of a request that is over."""
    peer = context.scope.get("client")
    log.info(
        "http.request",
        request=context.id,
        method=context.method,
        path=context.path[:200],
        status=context.status,
        ms=round(context.seconds * 1000, 2),
        peer=peer[0] if peer else None,
        error=context.error.code if context.error else None,
        runs=[run.id for run in context.runs] or None,
        **context.asked,
    )
    if context.error:  # its words may quote what people wrote
        told = context.error
        log.debug("http.error", request=context.id, code=told.code, param=told.param, message=told.message)


VERSION = b"anthropic-version"
_PATHS = ("/v1/messages", "/messages")


def speaks_anthropic(context: RequestContext) -> bool:
    """Whether the client reads Anthropic's form of errors."""
    return VERSION in context.headers or context.path.startswith(_PATHS)


def name_request(context: RequestContext) -> Reply | None:
    """Let everything pass; Anthropic's clients find their request's id under the name that the API gives it."""
    if speaks_anthropic(context):
        context.extra.append((b"request-id", context.id.encode()))
    return None


_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class HostCheck:
    """Lets through loopback names, the bound address, and names that the owner allowed.

    The bound address is also the one that the connection came in by, so that listening on all addresses works.
    """

    def __init__(self, bound: str, allowed: tuple[str, ...]) -> None:
        names = {name.lower() for name in allowed}
        self._names = _LOOPBACK | {bound.lower()} | names
        self._suffixes = tuple(name[1:] for name in names if name.startswith("*."))
        self._any = "*" in names

    def __call__(self, context: RequestContext) -> Reply | None:
        """Check one request.

        Raises:
            Forbidden: Its `Host` is foreign.
        """
        host = hostname(context.headers.get(b"host", b"").decode("latin-1"))
        if self._any or host in self._names or (host and host == _local_address(context)):
            return None
        if self._suffixes and host.endswith(self._suffixes):
            return None
        raise Forbidden(
            f"This gateway does not answer to the host name `{host[:100]}`. Its owner can allow it: --allow-host.",
            code="host_not_allowed",
        )


def hostname(netloc: str) -> str:
    """The name in `name:port`, `[v6]:port` or either without a port, in lower case."""
    if netloc.startswith("["):
        return netloc[1:].partition("]")[0].lower()
    return netloc.partition(":")[0].lower()


def _local_address(context: RequestContext) -> str | None:
    server = context.scope.get("server")
    return str(server[0]) if server else None


_PREFLIGHT_SECONDS = b"600"
_EXPOSED = b", ".join(
    (
        b"x-request-id",
        b"x-dragoman-run-id",
        b"x-dragoman-upstream",
        b"x-dragoman-path",
        b"x-dragoman-warnings",
        b"server-timing",
        b"x-ratelimit-limit-requests",
        b"x-ratelimit-remaining-requests",
        b"x-ratelimit-reset-requests",
        b"retry-after",
    )
)
"""What a page may read of an answer's headers: all that docs/connect.md tells of."""


class OriginCheck:
    """Refuses requests that a foreign page makes, and answers the preflights of allowed ones.

    A browser sends `Origin` with whatever a page of another origin may change, and `Sec-Fetch-Site` with everything;
    programs send neither.
    """

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._allowed = frozenset(origin.rstrip("/").lower() for origin in allowed)

    def __call__(self, context: RequestContext) -> Reply | None:
        """Check one request.

        Raises:
            Forbidden: A page asks whose origin is not allowed.
        """
        origin = context.headers.get(b"origin")
        if origin is None:
            if context.headers.get(b"sec-fetch-site") == b"cross-site":
                raise _refusal("another site")
            return None
        if self._is_allowed(origin):
            context.extra += _cors(origin)
            return _preflight(context) if context.method == "OPTIONS" else None
        if _is_same(origin, context.headers.get(b"host", b"")):
            return None
        raise _refusal(origin.decode("latin-1")[:100])

    def _is_allowed(self, origin: bytes) -> bool:
        return "*" in self._allowed or origin.decode("latin-1").lower() in self._allowed


def _is_same(origin: bytes, host: bytes) -> bool:
    """The host gate has checked `Host` already, so a page cannot have rebound its name to ours."""
    scheme, _, netloc = origin.lower().partition(b"://")
    return scheme in {b"http", b"https"} and bool(netloc) and netloc == host.lower()


def _cors(origin: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", _EXPOSED),
        (b"vary", b"origin"),
    ]


def _preflight(context: RequestContext) -> Reply:
    wanted = context.headers.get(b"access-control-request-headers", b"authorization, content-type, x-api-key")
    return Reply(
        204,
        headers=[
            (b"access-control-allow-methods", b"GET, POST, DELETE"),
            (b"access-control-allow-headers", wanted),
            (b"access-control-max-age", _PREFLIGHT_SECONDS),
        ],
    )


def _refusal(who: str) -> Forbidden:
    return Forbidden(
        f"Web pages of `{who}` may not use this gateway. Its owner can allow an origin: --allow-origin.",
        code="origin_not_allowed",
    )


class RequestCheck(Protocol):
    """Decides whether a request may come in. Does no I/O."""

    def __call__(self, context: RequestContext) -> Reply | None:
        """Let it pass (None), or answer it here.

        Raises:
            GatewayError: It may not come in.
        """
        ...


class Middleware:
    """Pure ASGI middleware around the routes; the one place that answers what nothing inside answered."""

    def __init__(
        self,
        app: ASGIApp,
        gates: Sequence[RequestCheck],
        observers: Sequence[Callable[[RequestContext], None]],
        encode_error: Callable[[GatewayError, RequestContext], ErrorResponse],
    ) -> None:
        self._app = app
        self._gates = gates
        self._observers = observers
        self._encode_error = encode_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request from its first byte to its line in the log."""
        if scope["type"] != "http":  # no websockets here, and the composition root owns the life of all parts
            return
        context = RequestContext(scope, send)
        try:
            await self._admit(context, receive)
        except Exception as error:  # noqa: BLE001 - the last place where one can still be answered
            await self._apologise(context, error)
        finally:
            for observe in self._observers:
                observe(context)

    async def _admit(self, context: RequestContext, receive: Receive) -> None:
        for gate in self._gates:
            if reply := gate(context):
                await reply.send(context.send)
                return
        await self._app(context.scope, receive, context.send)

    async def _apologise(self, context: RequestContext, error: Exception) -> None:
        status = error.status_code if isinstance(error, HTTPException) else None
        told = gateway_error(_routing_error(error, context) if isinstance(error, HTTPException) else error, context)
        context.error = told
        if context.status:  # headers are out, and whoever sent them ends what he began
            return
        encoded = self._encode_error(told, context)
        allow = (error.headers or {}).get("Allow") if isinstance(error, HTTPException) else None
        headers = [(b"allow", allow.encode())] if allow else []
        await error_reply(told, ErrorResponse(status or encoded.status, encoded.body), headers).send(context.send)


def _routing_error(error: HTTPException, context: RequestContext) -> GatewayError:
    method, path = context.method, context.path
    if error.status_code == NO_SUCH_METHOD:
        return InvalidRequest(f"{path} does not take {method}.", code="method_not_allowed")
    return NotFound(f"There is no {method} {path}. `GET /` lists what there is.", code="unknown_url")
