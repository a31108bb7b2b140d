"""Client keys: who sends a request, and what that client may do."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from dragoman.core.errors import Forbidden, Unauthenticated
from dragoman.core.value_object import value_object
from dragoman.server.access import AccessBook, invalid_reason
from dragoman.server.context import RequestContext
from dragoman.server.replies import Reply
from dragoman.stores.access import hash_of

_hash_of = lru_cache(maxsize=1024)(hash_of)
"""The same for keys that are sent again and again: a new hash takes a hundredth of a short request."""


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
    """

    def __init__(
        self,
        api_keys: Sequence[ApiKey],
        public_paths: frozenset[str],
        operator_prefix: str,
        *,
        agents: bool,
        book: AccessBook | None = None,
    ) -> None:
        self._api_keys = {hash_of(key.key): key for key in api_keys}
        self._agents = agents
        self._public_paths = public_paths
        self._operator_prefix = operator_prefix
        self._book = book or AccessBook()

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
        sha256 = _hash_of(sent)
        is_admin_path = context.path.startswith(self._operator_prefix)
        if api_key := self._api_keys.get(sha256):
            if is_admin_path and not api_key.operator:
                raise _not_operator(api_key.name)
            if api_key.admin and not is_admin_path and context.method == "POST":
                raise Forbidden(
                    "This is the admin key. It opens /admin/ and /metrics; requests for models need a client's key.",
                    code="admin_key",
                )
            context.authenticated, context.is_operator = True, api_key.operator
            context.client, context.may_start_agents = api_key.name, api_key.agents
            return True
        record = self._book.find(sha256)
        if record is None:
            return False
        if reason := invalid_reason(record, sha256):
            if context.path in self._public_paths:
                return False
            raise Unauthenticated(reason)
        if is_admin_path:
            raise _not_operator(record.name)
        context.authenticated = True
        context.client, context.may_start_agents = record.name, self._agents and record.agents
        return True


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
            "This is not a key of this gateway. The operator sees with `dragoman config` where its key is set."
        )
    return Unauthenticated("This gateway requires its key, as `Authorization: Bearer KEY` or `x-api-key: KEY`.")
