"""Client keys: who sends a request, and what that client may do."""

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dragoman.core.errors import Forbidden, Unauthenticated
from dragoman.server.context import RequestContext
from dragoman.server.replies import Reply


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of the gateway.

    Attributes:
        name: The client's name in runs, records and limits.
        key: The key itself.
        agents: Whether the client may start agents.
        operator: Whether the client may see and cancel the runs of others.
    """

    name: str
    key: bytes
    agents: bool = True
    operator: bool = False


class KeyCheck:
    """Requires a key, if any is configured.

    Clients send `Authorization: Bearer KEY`, `Authorization: KEY`, `x-api-key: KEY`, or, as Azure's do, `api-key: KEY`.

    Args:
        api_keys: The keys; empty: every request is accepted.
        public_paths: Paths that need no key.
        operator_prefix: The prefix of the paths for operators.
        agents: Whether agents may be started when there are no keys.
    """

    def __init__(
        self, api_keys: Sequence[ApiKey], public_paths: frozenset[str], operator_prefix: str, *, agents: bool
    ) -> None:
        self._api_keys = tuple(api_keys)
        self._agents = agents
        self._public_paths = public_paths
        self._operator_prefix = operator_prefix

    def __call__(self, context: RequestContext) -> Reply | None:
        """Check one request, and note its client in the context.

        Raises:
            Unauthenticated: The key is missing or wrong.
            Forbidden: The path is for operators, and the key is a client's.
        """
        if not self._api_keys:
            context.authenticated, context.is_operator, context.may_start_agents = True, True, self._agents
            return None
        sent = list(_sent_keys(context))
        api_key = self._find(sent)
        if api_key is not None:
            if not api_key.operator and context.path.startswith(self._operator_prefix):
                raise Forbidden(
                    f"The key `{api_key.name}` is a client key. This path needs the gateway's own key (--api-key).",
                    code="not_operator",
                )
            context.authenticated, context.is_operator = True, api_key.operator
            context.client, context.may_start_agents = api_key.name, api_key.agents
        elif context.path not in self._public_paths:
            raise _refusal(wrong=bool(sent))
        return None

    def _find(self, sent: Sequence[bytes]) -> ApiKey | None:
        """Return the key that was sent. All are compared in constant time, so the delay reveals nothing about them."""
        found = None
        for api_key in self._api_keys:
            for key in sent:
                if hmac.compare_digest(key, api_key.key):
                    found = api_key
        return found


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
