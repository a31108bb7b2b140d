"""The gateway's key."""

import hmac
from collections.abc import Iterator

from dragoman.errors import Unauthenticated
from dragoman.server.exchange import Exchange
from dragoman.server.replies import Reply

OPEN_PATHS = frozenset({"/", "/health", "/health/ready", "/docs", "/redoc", "/openapi.json"})
"""They hold no secret; `/health/ready` tells more to those who send the key."""


class KeyGate:
    """Asks for the key, where one is set.

    It may come as `Authorization: Bearer KEY`, as `Authorization: KEY`, or as `x-api-key: KEY`.

    Args:
        key: The key; None lets everyone in.
        open_paths: Paths that need none.
        agents: Whether its holder may start agents.
    """

    def __init__(self, key: bytes | None, open_paths: frozenset[str] = OPEN_PATHS, *, agents: bool = True) -> None:
        self._key = key
        self._agents = agents
        self._open = open_paths

    def __call__(self, exchange: Exchange) -> Reply | None:
        """Check one request.

        Raises:
            Unauthenticated: No key was sent where one is needed, or a wrong one.
        """
        if self._key is None:
            exchange.known, exchange.agents = True, self._agents
            return None
        sent = list(_sent_keys(exchange))
        # All are compared, and each in constant time: the answer's delay says nothing about the key.
        exchange.known = any([hmac.compare_digest(key, self._key) for key in sent])  # noqa: C419
        if exchange.known:
            exchange.client = "key"
            exchange.agents = self._agents
        elif exchange.path not in self._open:
            raise _refusal(wrong=bool(sent))
        return None


def _sent_keys(exchange: Exchange) -> Iterator[bytes]:
    if authorization := exchange.headers.get(b"authorization", b"").strip():
        scheme, _, key = authorization.partition(b" ")
        yield key.strip() if scheme.lower() == b"bearer" else authorization
    if key := exchange.headers.get(b"x-api-key", b"").strip():
        yield key


def _refusal(*, wrong: bool) -> Unauthenticated:
    if wrong:
        return Unauthenticated("This is not the gateway's key. Where it was set, `dragoman config` tells its owner.")
    return Unauthenticated("This gateway needs its key, as `Authorization: Bearer KEY` or `x-api-key: KEY`.")
