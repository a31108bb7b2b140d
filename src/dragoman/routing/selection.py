"""Select the upstreams for a request: each conversation has a home, where its cached prompt is."""

from collections import OrderedDict
from collections.abc import Sequence

from dragoman.backends.base import RunRequest
from dragoman.core.conversation import conversation_key, rank_of
from dragoman.core.errors import Forbidden, NotFound
from dragoman.core.value_object import value_object
from dragoman.routing.upstream import Upstream, budget_error

_MAX_MOVED = 10_000
"""Conversations whose move to another upstream is remembered."""


@value_object
class Selection:
    """The upstreams that may answer a request.

    Attributes:
        conversation: The key of its conversation.
        home: The conversation's home.
        mixed: Whether the conversation contains responses of another upstream than its home.
        has_history: Whether the conversation contains any response.
        candidates: The upstreams to try, one after the other.
    """

    conversation: int
    home: Upstream
    mixed: bool
    has_history: bool
    candidates: Sequence[Upstream]


class UpstreamSelector:
    """Selects upstreams, and remembers which conversations have moved.

    A conversation's first home is the first upstream in order that serves the model. Upstreams of the same order share
    the conversations by their keys, in the same way on every machine and after every start.

    Args:
        upstreams: The upstreams.
        fallback: Whether other upstreams than the home may be tried.
    """

    def __init__(self, upstreams: Sequence[Upstream], *, fallback: bool) -> None:
        self._upstreams = tuple(upstreams)
        self._fallback = fallback
        self._moved: OrderedDict[int, tuple[Upstream, bool]] = OrderedDict()

    def home_of(self, request: RunRequest) -> Upstream:
        """Return the home of the request's conversation.

        Raises:
            Forbidden: No upstream serves the client.
            NotFound: No upstream that serves the client serves the model.
        """
        return self._rank(request, conversation_key(request.body))[0]

    def select(self, request: RunRequest) -> Selection:
        """Return the upstreams that may answer the request.

        Raises:
            Forbidden: No upstream serves the client.
            NotFound: No upstream that serves the client serves the model.
            QuotaExceeded: The budgets of all these upstreams are used up.
        """
        conversation = conversation_key(request.body)
        ranked = self._rank(request, conversation)
        home = ranked[0]
        moved_to, mixed = self._moved.get(conversation, (home, False))
        has_history = any(message["role"] == "assistant" for message in request.body["messages"])
        candidates = self._candidates(ranked if self._fallback else ranked[:1], stay_home=has_history)
        return Selection(conversation, home, mixed and moved_to is home, has_history, candidates)

    def move(self, selection: Selection, upstream: Upstream) -> None:
        """Make the upstream that answered the home of the conversation."""
        if upstream is not selection.home:
            self._remember(selection, upstream, mixed=selection.has_history)

    def mark_mixed(self, selection: Selection, upstream: Upstream) -> None:
        """Record that a conversation at this upstream contains responses of another, unknown one."""
        self._remember(selection, upstream, mixed=True)

    def _remember(self, selection: Selection, upstream: Upstream, *, mixed: bool) -> None:
        self._moved[selection.conversation] = upstream, mixed
        self._moved.move_to_end(selection.conversation)
        if len(self._moved) > _MAX_MOVED:
            self._moved.popitem(last=False)

    def _rank(self, request: RunRequest, conversation: int) -> list[Upstream]:
        """Return the upstreams that serve the client and the model, the conversation's home first."""
        model, client = request.model.id, request.client
        allowed = [upstream for upstream in self._upstreams if upstream.serves_client(client)]
        if not allowed:
            raise Forbidden(
                f"No upstream serves the key `{client}`. The operator can add it to the `keys` of one.",
                code="key_not_served",
            )
        serving = [upstream for upstream in allowed if upstream.serves(model)]
        if not serving:
            detail = "" if len(allowed) == len(self._upstreams) else f" to the key `{client}`"
            raise NotFound(f"No upstream serves the model `{model}`{detail}.", code="model_not_found", param="model")
        if request.request_options.agent:
            # If no upstream runs agents, the first one refuses the request itself.
            serving = [upstream for upstream in serving if upstream.agents] or serving
        if len(serving) > 1:
            home, _ = self._moved.get(conversation, (None, False))
            serving.sort(
                key=lambda upstream: (upstream is not home, upstream.order, rank_of(upstream.seed, conversation))
            )
        return serving

    def _candidates(self, ranked: Sequence[Upstream], *, stay_home: bool) -> Sequence[Upstream]:
        affordable = [upstream for upstream in ranked if not upstream.exhausted]
        if not affordable:
            raise budget_error(ranked)
        healthy = [upstream for upstream in affordable if not upstream.breaker.remaining]
        if not healthy:
            # A circuit breaker moves runs to other upstreams. If there are none, it refuses nothing.
            return [min(affordable, key=lambda upstream: upstream.breaker.remaining)]
        if not stay_home and healthy[0].limit.full:
            healthy.sort(key=lambda upstream: upstream.limit.full)
        return healthy
