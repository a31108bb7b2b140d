"""What the gateway and the commands need of keys, limits and runs; `dragoman.wiring.stores` opens their stores.

Commands import this and no server: it loads in a quarter of the time.
"""

from dragoman.config.limits import limits_of
from dragoman.config.secrets import held_secrets
from dragoman.config.settings import Settings
from dragoman.core.catalog import Catalog
from dragoman.core.errors import NotFound
from dragoman.core.redaction import Redactor
from dragoman.routing.budget import upstream_rule
from dragoman.runs.records import RunRegistry
from dragoman.server.access import AccessOptions, StaticKey
from dragoman.stores.sql.stores import Stores


def access_options(settings: Settings) -> AccessOptions:
    """Return the settings about keys, limits and budgets."""
    gateway = limits_of(
        settings.requests_per_minute, settings.tokens_per_minute, None, settings.budget, settings.model_limits
    )
    catalog = Catalog(aliases=settings.model_aliases)

    def model_id(name: str) -> str:
        try:
            return catalog.resolve(name).model.id
        except NotFound:  # a pattern, or a model that only Claude's own list has
            return name

    keys = {
        key.name: StaticKey(key.team, key.as_limits(key.model_limits), tuple(map(model_id, key.models)))
        for key in settings.keys
    }
    upstreams = [
        upstream_rule(upstream.name, upstream.daily_budget)
        for upstream in settings.upstreams
        if upstream.daily_budget is not None
    ]
    return AccessOptions(gateway, keys, upstreams, model_id)


def build_run_registry(settings: Settings, stores: Stores) -> RunRegistry:
    """Build the registry of runs, with a store of their records if the settings say so."""
    redactor = Redactor(held_secrets(settings))
    if not settings.runs_kept:
        return RunRegistry(redactor=redactor)
    store = stores.runs(ttl=settings.runs_ttl, entries=settings.runs_kept)
    return RunRegistry(store, content=settings.runs_content, redactor=redactor)
