"""Keys and teams in memory: who may send a request, what that client may use, and which limits cover it."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

from dragoman.core import log
from dragoman.core.supervise import SupervisedTask, failures_in
from dragoman.core.value_object import value_object
from dragoman.limits.rules import Rule, ScopeKind
from dragoman.limits.spec import NO_LIMITS, Limits
from dragoman.routing.upstream import serves
from dragoman.stores.access import AccessState, AccessStore, KeyRecord

POLL_SECONDS = 0.4
"""Seconds between two looks at the store: a revoked key is refused within one second, also by other processes."""

_MAX_CACHED = 10_000


@value_object
class StaticKey:
    """What the settings say about a key that is configured there.

    Attributes:
        team: The name of its team; "" if it has none.
        limits: Its limits and budgets.
        models: Patterns of the models that it may use; empty: all.
    """

    team: str = ""
    limits: Limits = NO_LIMITS
    models: tuple[str, ...] = ()


@value_object
class AccessOptions:
    """The settings about keys, limits and budgets.

    Attributes:
        limits: Those of the gateway.
        keys: The keys of the settings, by name.
        upstreams: Budgets of upstreams.
        model_id: Returns the id of a model for a name, an alias or a pattern.
    """

    limits: Limits = NO_LIMITS
    keys: Mapping[str, StaticKey] = field(default_factory=dict)
    upstreams: Sequence[Rule] = ()
    model_id: Callable[[str], str] = str


class AccessBook:
    """All keys and teams, as they were at most a second ago. It is the policy of the meter.

    Args:
        store: The store of keys and teams; None: there are only those of the settings. The caller closes it.
        options: The settings.
    """

    def __init__(self, store: AccessStore | None = None, options: AccessOptions | None = None) -> None:
        self.store = store
        self._options = options or AccessOptions()
        self._state = AccessState()
        self._by_hash: dict[str, KeyRecord] = {}
        self._rules: dict[tuple[str, str], tuple[Rule, ...]] = {}
        self._task = SupervisedTask(self._poll, name="keys", on_failure=_log_failure, max_pause=1.0)

    async def start(self) -> None:
        """Load all keys, and follow changes.

        Raises:
            StoreFailed: They cannot be read: the gateway cannot know which keys are revoked.
        """
        if self.store is not None:
            self._use(await self.store.load())
            self._task.start()

    async def aclose(self) -> None:
        """Stop to follow changes. Idempotent."""
        await self._task.aclose()

    def failures(self) -> Mapping[str, str]:
        """Return why changes cannot be read; see `dragoman.core.supervise.ReportsFailures`."""
        return failures_in(self._task)

    async def refresh(self) -> None:
        """Load all keys and teams if any has changed.

        Raises:
            StoreFailed: They cannot be read.
        """
        if self.store is not None and await self.store.version() != self._state.version:
            self._use(await self.store.load())

    @property
    def state(self) -> AccessState:
        """All keys and teams of the store."""
        return self._state

    @property
    def has_keys(self) -> bool:
        """Whether the store has, or ever had, a key: then every request needs one."""
        return bool(self._state.keys)

    def find(self, sha256: str) -> KeyRecord | None:
        """Return the key that has a secret with this hash, whether the key is valid or not."""
        return self._by_hash.get(sha256)

    def may_use_model(self, client: str, model: str) -> bool:
        """Return whether a client's key allows a model."""
        if record := self._state.keys.get(client):
            return not record.models or serves([self._options.model_id(name) for name in record.models], model)
        static = self._options.keys.get(client)
        return static is None or serves(static.models, model)

    def upstreams_of(self, client: str) -> tuple[str, ...]:
        """Return the upstreams that a client's key names; empty if it names none."""
        record = self._state.keys.get(client)
        return record.upstreams if record else ()

    # The policy of the meter.

    def rules(self, client: str, model: str) -> tuple[Rule, ...]:
        """See `dragoman.runs.policy.Policy.rules`."""
        rules = self._rules.get((client, model))
        if rules is None:
            if len(self._rules) >= _MAX_CACHED:
                self._rules.clear()
            rules = self._rules[client, model] = tuple(
                rule for kind, name, limits in self._scopes(client) for rule in limits.rules(kind, name, model)
            )
        return rules

    def all_rules(self) -> Sequence[Rule]:
        """See `dragoman.runs.policy.Policy.all_rules`."""
        scopes = [(ScopeKind.GATEWAY, "", self._limits_of(self._options.limits))]
        scopes += [
            (ScopeKind.TEAM, team.name, self._limits_of(team.limits))
            for team in self._state.teams.values()
            if team.deleted is None
        ]
        scopes += [(ScopeKind.KEY, name, self._limits_of(key.limits)) for name, key in self._options.keys.items()]
        scopes += [
            (ScopeKind.KEY, key.name, self._limits_of(key.limits))
            for key in self._state.keys.values()
            if key.revoked is None
        ]
        return [rule for kind, name, limits in scopes for rule in limits.all_rules(kind, name)] + [
            *self._options.upstreams
        ]

    def team(self, client: str) -> str:
        """See `dragoman.runs.policy.Policy.team`."""
        key = self._state.keys.get(client) or self._options.keys.get(client)
        return key.team if key else ""

    def _scopes(self, client: str) -> list[tuple[ScopeKind, str, Limits]]:
        """Return the scopes that cover a client's runs, the widest first."""
        scopes = [(ScopeKind.GATEWAY, "", self._limits_of(self._options.limits))]
        key = self._state.keys.get(client) or self._options.keys.get(client)
        if key is not None:
            team = self._state.teams.get(key.team)
            if team is not None:
                scopes.append((ScopeKind.TEAM, team.name, self._limits_of(team.limits)))
            scopes.append((ScopeKind.KEY, client, self._limits_of(key.limits)))
        return scopes

    def _limits_of(self, limits: Limits) -> Limits:
        """Return limits with the ids of the models that they name."""
        if not limits.models:
            return limits
        models = {self._options.model_id(name): inner for name, inner in limits.models.items()}
        return Limits(limits.rpm, limits.tpm, limits.concurrency, limits.budgets, models)

    def _use(self, state: AccessState) -> None:
        self._state = state
        self._by_hash = {secret.sha256: key for key in state.keys.values() for secret in key.secrets}
        self._rules = {}

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self.refresh()
            self._task.recovered()


def invalid_reason(key: KeyRecord, sha256: str, now: float | None = None) -> str | None:
    """Return why a secret of a key is not valid, as a sentence for its client; None if it is."""
    now = time.time() if now is None else now
    match key.state(now):
        case "revoked":
            return f"The key `{key.name}` was revoked."
        case "expired":
            return f"The key `{key.name}` has expired."
        case "active":
            secret = next(secret for secret in key.secrets if secret.sha256 == sha256)
            if secret.expires is not None and secret.expires <= now:
                return f"This secret of the key `{key.name}` was replaced. Use the new one."
            return None


def _log_failure(error: Exception, pause: float) -> None:
    log.warning("access.unread", error=str(error), retry_in=pause)
