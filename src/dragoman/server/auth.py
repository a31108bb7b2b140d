"""The gateway's keys."""

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dragoman.core.errors import Forbidden, Unauthenticated
from dragoman.server.context import RequestContext
from dragoman.server.replies import Reply

OPEN_PATHS = frozenset({"/", "/health", "/health/ready", "/docs", "/redoc", "/openapi.json"})
"""They hold no secret; `/health/ready` tells more to those who send the key."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Who has a key.

    Attributes:
        name: What runs, records and limits call them.
        key: The key.
        agents: Whether they may start agents.
        operator: Whether they may see and end the runs of others.
    """

    name: str
    key: bytes
    agents: bool = True
    operator: bool = False


class KeyCheck:
    """Asks for a key, where any is set.

    It may come as `Authorization: Bearer KEY`, as `Authorization: KEY`, or as `x-api-key: KEY`.

    Args:
        holders: Who has one; nobody: everyone may come in.
        open_paths: Paths that need none.
        operated: How the paths begin that are for operators alone.
        agents: Whether agents may be started where there are no keys.
    """

    def __init__(self, holders: Sequence[ApiKey], open_paths: frozenset[str], operated: str, *, agents: bool) -> None:
        self._holders = tuple(holders)
        self._agents = agents
        self._open = open_paths
        self._operated = operated

    def __call__(self, context: RequestContext) -> Reply | None:
        """Check one request.

        Raises:
            Unauthenticated: No key was sent where one is needed, or a wrong one.
            Forbidden: The key is not for this.
        """
        if not self._holders:
            context.known, context.agents = True, self._agents
            return None
        sent = list(_sent_keys(context))
        holder = self._holder(sent)
        if holder is not None:
            if not holder.operator and context.path.startswith(self._operated):
                raise _not_operator(holder)
            context.known, context.client, context.agents = True, holder.name, holder.agents
        elif context.path not in self._open:
            raise _refusal(wrong=bool(sent))
        return None

    def _holder(self, sent: Sequence[bytes]) -> ApiKey | None:
        """Whose key was sent. All are compared, each in constant time: the answer's delay says nothing about them."""
        found = None
        for holder in self._holders:
            for key in sent:
                if hmac.compare_digest(key, holder.key):
                    found = holder
        return found


def _sent_keys(context: RequestContext) -> Iterator[bytes]:
    if authorization := context.headers.get(b"authorization", b"").strip():
        scheme, _, key = authorization.partition(b" ")
        yield key.strip() if scheme.lower() == b"bearer" else authorization
    if key := context.headers.get(b"x-api-key", b"").strip():
        yield key


def _not_operator(holder: ApiKey) -> Forbidden:
    return Forbidden(
        f"The key `{holder.name}` is a client's. This is for the gateway's own key (--api-key).", code="not_operator"
    )


def _refusal(*, wrong: bool) -> Unauthenticated:
    if wrong:
        return Unauthenticated("This is not the gateway's key. Where it was set, `dragoman config` tells its owner.")
    return Unauthenticated("This gateway needs its key, as `Authorization: Bearer KEY` or `x-api-key: KEY`.")
