"""Who is asked, and who next: each conversation has an account where it is at home."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from dragoman.backends.base import RunRequest
from dragoman.core.conversation import conversation_key, rank_of
from dragoman.core.errors import Forbidden, NotFound
from dragoman.routing.upstream import Upstream, over_budget

_MOST_MOVED = 10_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """Who may answer a request.

    Attributes:
        conversation: The name of its conversation.
        home: Where the conversation is.
        mixed: Whether the conversation has answers of another account than its home.
        grown: Whether it has any answers.
        candidates: Who is asked, one after the other.
    """

    conversation: int
    home: Upstream
    mixed: bool
    grown: bool
    candidates: Sequence[Upstream]


class UpstreamSelector:
    """Chooses between accounts, and remembers which conversations are not where they would be by themselves.

    By themselves they are with the first account in its order that serves the model; those of the same order share
    them by their names, the same way on every machine and after every start.

    Args:
        upstreams: The accounts.
        fallback: Whether another than the home may be asked.
    """

    def __init__(self, upstreams: Sequence[Upstream], *, fallback: bool) -> None:
        self._upstreams = tuple(upstreams)
        self._fallback = fallback
        self._moved: OrderedDict[int, tuple[Upstream, bool]] = OrderedDict()

    def home_of(self, request: RunRequest) -> Upstream:
        """Where the conversation is.

        Raises:
            Forbidden: Nobody serves the client.
            NotFound: Nobody who does serves the model.
        """
        return self._ranked(request, conversation_key(request.body))[0]

    def of(self, request: RunRequest) -> Candidate:
        """Who may answer.

        Raises:
            Forbidden: Nobody serves the client.
            NotFound: Nobody who does serves the model.
            QuotaExceeded: Nobody who does may spend anything more today.
        """
        conversation = conversation_key(request.body)
        ranked = self._ranked(request, conversation)
        home = ranked[0]
        place, mixed = self._moved.get(conversation, (home, False))
        grown = any(message["role"] == "assistant" for message in request.body["messages"])
        candidates = self._candidates(ranked if self._fallback else ranked[:1], at_home=grown)
        return Candidate(conversation, home, mixed and place is home, grown, candidates)

    def stay(self, choice: Candidate, upstream: Upstream) -> None:
        """Let a conversation be at home where it was answered."""
        if upstream is not choice.home:
            self._remember(choice, upstream, mixed=choice.grown)

    def mix(self, choice: Candidate, upstream: Upstream) -> None:
        """Know that a conversation has answers of another account, which nobody here remembers."""
        self._remember(choice, upstream, mixed=True)

    def _remember(self, choice: Candidate, upstream: Upstream, *, mixed: bool) -> None:
        self._moved[choice.conversation] = upstream, mixed
        self._moved.move_to_end(choice.conversation)
        if len(self._moved) > _MOST_MOVED:
            self._moved.popitem(last=False)

    def _ranked(self, request: RunRequest, conversation: int) -> list[Upstream]:
        """Who serves a model to a client, the conversation's home first."""
        model = request.model.id
        allowed = [upstream for upstream in self._upstreams if upstream.is_for(request.client)]
        if not allowed:
            raise _for_nobody(request.client)
        serving = [upstream for upstream in allowed if upstream.serves(model)]
        if not serving:
            whom = "" if len(allowed) == len(self._upstreams) else f" to the key `{request.client}`"
            raise NotFound(f"No upstream here serves the model `{model}`{whom}.", code="model_not_found", param="model")
        if request.request_options.agent:
            # Where nobody has agents, whoever is asked says so.
            serving = [upstream for upstream in serving if upstream.agents] or serving
        if len(serving) > 1:
            home, _ = self._moved.get(conversation, (None, False))
            serving.sort(key=lambda one: (one is not home, one.order, rank_of(one.seed, conversation)))
        return serving

    def _candidates(self, allowed: Sequence[Upstream], *, at_home: bool) -> Sequence[Upstream]:
        within = [upstream for upstream in allowed if not upstream.used_up]
        if not within:
            raise over_budget(allowed)
        awake = [upstream for upstream in within if not upstream.rest.left]
        if not awake:
            # A rest sends runs elsewhere; where there is no elsewhere, it refuses none.
            return [min(within, key=lambda upstream: upstream.rest.left)]
        if not at_home and awake[0].full:
            awake.sort(key=lambda upstream: upstream.full)
        return awake


def _for_nobody(client: str) -> Forbidden:
    return Forbidden(
        f"No upstream here serves the key `{client}`. The owner lists it in the `keys` of one.", code="key_not_served"
    )
