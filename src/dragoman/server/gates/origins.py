"""Which web pages may use the gateway: none but its own, unless the owner allowed their origin."""

from dragoman.errors import Forbidden
from dragoman.server.exchange import Exchange
from dragoman.server.replies import Reply

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


class OriginGate:
    """Refuses requests that a foreign page makes, and answers the preflights of allowed ones.

    A browser sends `Origin` with whatever a page of another origin may change, and `Sec-Fetch-Site` with everything;
    programs send neither.
    """

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._allowed = frozenset(origin.rstrip("/").lower() for origin in allowed)

    def __call__(self, exchange: Exchange) -> Reply | None:
        """Check one request.

        Raises:
            Forbidden: A page asks whose origin is not allowed.
        """
        origin = exchange.headers.get(b"origin")
        if origin is None:
            if exchange.headers.get(b"sec-fetch-site") == b"cross-site":
                raise _refusal("another site")
            return None
        if self._is_allowed(origin):
            exchange.extra += _cors(origin)
            return _preflight(exchange) if exchange.method == "OPTIONS" else None
        if _is_same(origin, exchange.headers.get(b"host", b"")):
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


def _preflight(exchange: Exchange) -> Reply:
    wanted = exchange.headers.get(b"access-control-request-headers", b"authorization, content-type, x-api-key")
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
