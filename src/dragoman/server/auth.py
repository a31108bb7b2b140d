"""Client keys: who sends a request, and what that client may do."""

import time
from collections.abc import Callable, Iterator, Sequence
from math import inf

from dragoman.core.errors import Forbidden, Unauthenticated
from dragoman.core.value_object import value_object
from dragoman.server.access import AccessBook, invalid_reason
from dragoman.server.context import RequestContext
from dragoman.server.replies import Reply
from dragoman.stores.access import AccessState, hash_of

_MAX_ACCEPTED = 1024


@value_object
class ApiKey:
    """A key of the gateway.

    Attributes:
        name: The client's name in runs, records and limits.
        key: The key itself.
        agents: Whether the client may start agents.
        operator: Whether it opens the paths for operators.
        admin: Whether it is for these paths only, and no client's.
    """

    name: str
    key: bytes
    agents: bool = True
    operator: bool = False
    admin: bool = False


@value_object
class _Accepted:
    """A key that was accepted: it is sent again and again, and a new check takes a fiftieth of a short request.

    Attributes:
        state: The keys of the store then. They are replaced when any of them changes.
        until: When the key becomes invalid by itself, in seconds since 1970.
        client: The name of its client.
        agents: Whether the client may start agents.
        is_operator: Whether it opens the paths for operators.
    """

    state: AccessState
    until: float
    client: str
    agents: bool
    is_operator: bool = False


class KeyCheck:
    """Requires a key, if there is any.

    Clients send `Authorization: Bearer KEY`, `Authorization: KEY`, `x-api-key: KEY`, or, as Azure's do, `api-key: KEY`.
    Keys are looked up by their hash, so the delay reveals nothing about them.

    Args:
        api_keys: The keys of the settings.
        public_paths: Paths that need no key.
        operator_prefix: The prefix of the paths for operators.
        agents: Whether agents may be started. Without any key, every request may start them then.
        book: The keys of the store.
        clock: Returns the time, in seconds since 1970.
    """

    def __init__(
        self,
        api_keys: Sequence[ApiKey],
        public_paths: frozenset[str],
        operator_prefix: str,
        *,
        agents: bool,
        book: AccessBook | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api_keys = {hash_of(key.key): key for key in api_keys}
        self._agents = agents
        self._public_paths = public_paths
        self._operator_prefix = operator_prefix
        self._book = book or AccessBook()
        self._clock = clock
        self._accepted: dict[bytes, _Accepted] = {}

    def __call__(self, context: RequestContext) -> Reply | None:
        """Check one request, and note its client in the context.

        Raises:
            Unauthenticated: The key is missing or wrong.
            Forbidden: The path is for operators, and the key is a client's; or the other way round.
        """
        if not self._api_keys and not self._book.has_keys:
            context.authenticated, context.is_operator, context.may_start_agents = True, True, self._agents
            return None
        is_sent = False
        for sent in _sent_keys(context):
            is_sent = True
            if self._accept(context, sent):
                return None
        if context.path not in self._public_paths:
            raise _refusal(wrong=is_sent)
        return None

    def _accept(self, context: RequestContext, sent: bytes) -> bool:
        """Note the client of a key in the context. Return whether the key is known."""
        accepted, is_admin_path = self._accepted.get(sent), context.path.startswith(self._operator_prefix)
        if (
            is_admin_path
            or accepted is None
            or accepted.state is not self._book.state
            or accepted.until <= self._clock()
        ):
            accepted = self._check(context, hash_of(sent), is_admin_path=is_admin_path)
            if accepted is None:
                return False
            if not is_admin_path:
                self._remember(sent, accepted)
        context.authenticated, context.is_operator = True, accepted.is_operator
        context.client, context.may_start_agents = accepted.client, accepted.agents
        return True

    def _check(self, context: RequestContext, sha256: str, *, is_admin_path: bool) -> _Accepted | None:
        """Return who has a key and what it may do; None if the key is unknown."""
        state = self._book.state
        if api_key := self._api_keys.get(sha256):
            if is_admin_path and not api_key.operator:
                raise _not_operator(api_key.name)
            if api_key.admin and not is_admin_path and context.method == "POST":
                raise Forbidden(
                    "This is the admin key. It opens /admin/ and /metrics; requests for models need a client's key.",
                    code="admin_key",
                )
            until = -inf if api_key.admin else inf  # what the admin key may do depends on the request
            return _Accepted(state, until, api_key.name, api_key.agents, api_key.operator)
        record = self._book.find(sha256)
        if record is None:
            return None
        if reason := invalid_reason(record, sha256, self._clock()):
            if context.path in self._public_paths:
                return None
            raise Unauthenticated(reason)
        if is_admin_path:
            raise _not_operator(record.name)
        return _Accepted(state, record.valid_until(sha256), record.name, self._agents and record.agents)

    def _remember(self, sent: bytes, accepted: _Accepted) -> None:
        if len(self._accepted) >= _MAX_ACCEPTED:
            self._accepted.clear()
        self._accepted[sent] = accepted


def _not_operator(name: str) -> Forbidden:
    return Forbidden(
        f"The key `{name}` is a client key. This path needs the admin key (--admin-key), or without one the gateway's "
        "own key (--api-key).",
        code="not_operator",
    )


def _sent_keys(context: RequestContext) -> Iterator[bytes]:
    if authorization := context.headers.get(b"authorization", b"").strip():
        scheme, _, key = authorization.partition(b" ")
        yield key.strip() if scheme.lower() == b"bearer" else authorization
    for name in (b"x-api-key", b"api-key"):
        if key := context.headers.get(name, b"").strip():
            yield key


def _refusal(*, wrong: bool) -> Unauthenticated:
    if wrong:
        return Unauthenticated(
            "This is not a key of this gateway. The operator sees its keys with `dragoman keys list`, and with "
            "`dragoman config` where the gateway's own key is set."
        )
    return Unauthenticated("This gateway requires its key, as `Authorization: Bearer KEY` or `x-api-key: KEY`.")
