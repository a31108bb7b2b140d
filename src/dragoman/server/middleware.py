"""What every request passes before its handler: host, origin, key; and what answers when no handler did.

Each check sees the context and either lets the request pass, answers it, or raises. After the request come its line in
the log and its metrics.
"""

import ipaddress
from collections.abc import Callable, Sequence
from typing import Protocol

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from dragoman.core import log
from dragoman.core.deferred import DeferredCalls
from dragoman.core.errors import Forbidden, GatewayError, InvalidRequest, NotFound, facts_of, shorten
from dragoman.core.redaction import NO_SECRETS, Redactor
from dragoman.dialects.base import ErrorResponse
from dragoman.dialects.shared.errors import status_of
from dragoman.server.context import METHOD_NOT_ALLOWED, RawHeaders, RequestContext
from dragoman.server.paths import known_path
from dragoman.server.replies import Reply, client_error, error_reply


class RequestCheck(Protocol):
    """Decides whether a request may reach its handler. Does no I/O."""

    def __call__(self, context: RequestContext) -> Reply | None:
        """Return None to let the request pass, or the reply that answers it.

        Raises:
            GatewayError: The request is refused.
        """
        ...


class Middleware:
    """Pure ASGI middleware around the routes. Answers every error that no handler answered.

    Args:
        app: The routes.
        checks: The checks, in order.
        observers: Called after each request, for the log and the metrics.
        encode_error: Encodes an error in the dialect of the client.
        redactor: Removes the gateway's secrets from what is sent to clients.
        deferred: Calls the observers shortly after each request.
    """

    def __init__(
        self,
        app: ASGIApp,
        checks: Sequence[RequestCheck],
        observers: Sequence[Callable[[RequestContext], None]],
        encode_error: Callable[[GatewayError, RequestContext], ErrorResponse],
        redactor: Redactor = NO_SECRETS,
        deferred: DeferredCalls | None = None,
    ) -> None:
        self._app = app
        self._checks = checks
        self._observers = observers
        self._encode_error = encode_error
        self._redactor = redactor
        self._deferred = deferred or DeferredCalls()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, from its first byte to its line in the log."""
        if scope["type"] != "http":  # no websockets, and no lifespan: the composition root owns all parts
            return
        known = known_path(scope["path"])
        scope["path"] = known.path
        context = RequestContext(scope, send, self._redactor)
        context.deployment = known.deployment
        try:
            for check in self._checks:
                if reply := check(context):
                    await reply.send(context.send)
                    return
            await self._app(scope, receive, context.send)
        except Exception as error:  # noqa: BLE001 - the last place that can answer
            await self._answer_error(context, error)
        finally:
            context.end()
            if self._observers:
                self._deferred.add(self._observe, context)

    def _observe(self, context: RequestContext) -> None:
        for observe in self._observers:
            observe(context)

    async def _answer_error(self, context: RequestContext, error: Exception) -> None:
        routing = error if isinstance(error, HTTPException) else None
        shown = client_error(_routing_error(routing, context) if routing else error, context)
        context.error = shown
        if context.status:  # the headers are out; the handler that sent them ends the response
            return
        encoded = self._encode_error(shown, context)
        headers: RawHeaders = []
        if routing:
            encoded = ErrorResponse(routing.status_code, encoded.body)
            if allow := (routing.headers or {}).get("Allow"):
                headers.append((b"allow", allow.encode()))
        await error_reply(shown, encoded, headers).send(context.send)


def _routing_error(error: HTTPException, context: RequestContext) -> GatewayError:
    method, path = context.method, shorten(context.path)
    if error.status_code == METHOD_NOT_ALLOWED:
        return InvalidRequest(f"{path} does not accept {method}.", code="method_not_allowed")
    return NotFound(f"There is no {method} {path}. `GET /` lists all endpoints.", code="unknown_url")


_WARNED_STATUSES = frozenset({401, 402, 429})
_FIRST_SERVER_ERROR = 500


def log_access(context: RequestContext) -> None:
    """Log a request that is over. The line contains no key and no text that people wrote.

    Errors that the operator can do something about are warnings. Those of a client's own request are not.
    """
    peer = context.scope.get("client")
    error = context.error
    # Of an error inside a stream, the status of the response says nothing.
    status = status_of(error).http if error else 0
    is_warning = status in _WARNED_STATUSES or status >= _FIRST_SERVER_ERROR
    log.info(
        "http.request",
        level="warning" if is_warning else "info",
        request=context.id,
        method=context.method,
        path=context.path[:200],
        status=context.status,
        ms=round(context.seconds * 1000, 2),
        peer=peer[0] if peer else None,
        runs=[run.source_id or run.id for run in context.runs] or None,
        **context.log_fields,
        **facts_of(error),
    )
    if error:  # at debug only: the message may quote the request
        log.debug("http.error", request=context.id, code=error.code, param=error.param, message=error.message)


ANTHROPIC_VERSION = b"anthropic-version"
"""A header that only clients of Anthropic's API send, and with every request."""

_ANTHROPIC_PATHS = ("/v1/messages", "/messages")


def speaks_anthropic(context: RequestContext) -> bool:
    """Return whether the client expects errors in Anthropic's form."""
    return ANTHROPIC_VERSION in context.headers or context.path.startswith(_ANTHROPIC_PATHS)


def add_anthropic_request_id(context: RequestContext) -> Reply | None:
    """Add the request id under the name that Anthropic's clients read."""
    if speaks_anthropic(context):
        context.response_headers.append((b"request-id", context.id.encode()))
    return None


_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class HostCheck:
    """Accepts loopback names, the bound address, and the names that the operator allowed.

    A web page that rebinds its own name to this machine sends a foreign `Host`. The address by which the connection
    came in is accepted too, so that listening on all addresses works.
    """

    def __init__(self, bound: str, allowed: tuple[str, ...]) -> None:
        names = {name.lower() for name in allowed}
        self._names = _LOOPBACK | {bound.lower()} | names
        self._suffixes = tuple(name[1:] for name in names if name.startswith("*."))
        self._any = "*" in names

    def __call__(self, context: RequestContext) -> Reply | None:
        """Check one request.

        Raises:
            Forbidden: The `Host` is not allowed.
            InvalidRequest: There are several: a proxy in front may have read another one.
        """
        lines = context.scope["headers"]
        if len(context.headers) < len(lines) and sum(name == b"host" for name, _ in lines) > 1:
            raise InvalidRequest("The request has more than one `Host` header.", code="invalid_host")
        host = hostname(context.headers.get(b"host", b"").decode("latin-1"))
        if self._any or host in self._names or (host and host == _local_address(context)):
            return None
        if self._suffixes and host.endswith(self._suffixes):
            return None
        raise Forbidden(
            f"The host name `{host[:100]}` is not allowed. The operator can allow it: --allow-host.",
            code="host_not_allowed",
        )


def hostname(netloc: str) -> str:
    """Return the lower-case name in `name:port`, `[v6]:port`, or either without a port."""
    if netloc.startswith("["):
        return netloc[1:].partition("]")[0].lower()
    return netloc.partition(":")[0].lower()


def _local_address(context: RequestContext) -> str | None:
    server = context.scope.get("server")
    return str(server[0]) if server else None


_PREFLIGHT_SECONDS = b"600"
_EXPOSED_HEADERS = b", ".join(
    (
        b"x-request-id",
        b"x-dragoman-run-id",
        b"x-dragoman-upstream",
        b"x-dragoman-path",
        b"x-dragoman-warnings",
        b"server-timing",
        b"x-dragoman-cache",
        b"x-dragoman-cache-miss",
        b"age",
        b"idempotent-replayed",
        b"x-ratelimit-limit-requests",
        b"x-ratelimit-remaining-requests",
        b"x-ratelimit-reset-requests",
        b"x-ratelimit-limit-tokens",
        b"x-ratelimit-remaining-tokens",
        b"x-ratelimit-reset-tokens",
        b"retry-after",
    )
)
"""Response headers that a page may read: all that docs/connect.md lists."""


class OriginCheck:
    """Refuses requests from pages of other origins, and answers the preflights of allowed ones.

    Browsers send `Origin` with requests that may change something, and `Sec-Fetch-Site` with all requests. Programs
    send neither. A link from another site to a public page is a plain navigation: it may open.

    Args:
        allowed: Origins whose pages may use the gateway.
        public_paths: Paths that a navigation from another site may open.
    """

    def __init__(self, allowed: tuple[str, ...], public_paths: frozenset[str]) -> None:
        self._allowed = frozenset(origin.rstrip("/").lower() for origin in allowed)
        self._public_paths = public_paths

    def __call__(self, context: RequestContext) -> Reply | None:
        """Check one request.

        Raises:
            Forbidden: The origin is not allowed.
        """
        origin = context.headers.get(b"origin")
        if origin is None:
            if context.headers.get(b"sec-fetch-site") == b"cross-site" and not self._is_page_navigation(context):
                raise _origin_refused("another site")
            return None
        if self._is_allowed(origin):
            context.response_headers += _cors_headers(origin)
            return _preflight(context) if context.method == "OPTIONS" else None
        if _is_same_origin(origin, context.headers.get(b"host", b"")):
            return None
        raise _origin_refused(origin.decode("latin-1")[:100])

    def _is_page_navigation(self, context: RequestContext) -> bool:
        """Return whether a person follows a link to a public page in a window of its own, not in a frame."""
        headers = context.headers
        return (
            context.method == "GET"
            and context.path in self._public_paths
            and headers.get(b"sec-fetch-mode") == b"navigate"
            and headers.get(b"sec-fetch-dest") == b"document"
        )

    def _is_allowed(self, origin: bytes) -> bool:
        return "*" in self._allowed or origin.decode("latin-1").lower() in self._allowed


def _is_same_origin(origin: bytes, host: bytes) -> bool:
    """Return whether a page comes from this gateway. `Host` is checked before, so no page can rebind its name."""
    scheme, _, netloc = origin.lower().partition(b"://")
    return scheme in {b"http", b"https"} and bool(netloc) and netloc == host.lower()


def _cors_headers(origin: bytes) -> RawHeaders:
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", _EXPOSED_HEADERS),
        (b"vary", b"origin"),
    ]


def _preflight(context: RequestContext) -> Reply:
    requested = context.headers.get(
        b"access-control-request-headers", b"authorization, content-type, x-api-key, api-key"
    )
    return Reply(
        204,
        headers=[
            (b"access-control-allow-methods", b"GET, POST, DELETE"),
            (b"access-control-allow-headers", requested),
            (b"access-control-max-age", _PREFLIGHT_SECONDS),
        ],
    )


def _origin_refused(who: str) -> Forbidden:
    return Forbidden(
        f"Web pages of `{who}` may not use this gateway. The operator can allow an origin: --allow-origin.",
        code="origin_not_allowed",
    )
