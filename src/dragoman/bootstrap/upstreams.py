"""Several accounts: one backend each, as if it were the only one, and the router before them."""

from dragoman.backends.base import Backend, Operated
from dragoman.bootstrap.backends import CloudPlace, backend_for
from dragoman.bootstrap.secrets import revealed
from dragoman.bootstrap.thinking import account_of
from dragoman.catalog import Catalog, Model
from dragoman.errors import NotFound
from dragoman.runs.account import Account
from dragoman.runs.routing import Budget, Metered, Router, Upstream, serves
from dragoman.runs.thinking import Thinking
from dragoman.server.catalog import Serves, everything
from dragoman.settings import BadSettings, Settings
from dragoman.settings.keys import OWNER
from dragoman.settings.upstreams import UpstreamSettings
from dragoman.stores.base import Keep, Ledger


def router_for(settings: Settings, simulator: str | None, keep: Keep | None, ledger: Ledger) -> Router:
    """The router.

    Args:
        settings: All of them.
        simulator: The address of a simulator that stands in for every account.
        keep: Where thinking is kept.
        ledger: Where daily budgets are written down.

    Raises:
        BadSettings: An upstream cannot be had like this.
    """
    if settings.signed_in:
        raise BadSettings("signed_in (--signed-in) goes into the upstream that is signed in: signed_in = true there.")
    if settings.cloud:
        raise BadSettings(f'cloud (--cloud) goes into the upstream that is there: cloud = "{settings.cloud}".')
    _check_keys(settings)
    made = [
        _upstream(settings, one, place, simulator=simulator, keep=keep, ledger=ledger)
        for place, one in enumerate(settings.upstreams, 1)
    ]
    return Router(made, fallback=settings.fallback)


def _check_keys(settings: Settings) -> None:
    known = {key.name for key in settings.keys} | ({OWNER} if settings.api_key else set())
    for upstream in settings.upstreams:
        if unknown := [name for name in upstream.keys if name not in known]:
            wanted = "--api-key KEY" if unknown[0] == OWNER else f"[keys.{unknown[0]}]"
            raise BadSettings(
                f"upstream `{upstream.name}`: keys names `{unknown[0]}`, and there is no such key: set it, {wanted}."
            )


def settings_of(settings: Settings, upstream: UpstreamSettings) -> Settings:
    """The settings as they would be if an upstream were the only account. Its key has been looked up."""
    retries = 0 if settings.fallback and len(settings.upstreams) > 1 else settings.retries
    changes: dict[str, object] = {
        "upstreams": (),
        "backend": upstream.backend,
        "cloud": upstream.cloud,
        "signed_in": upstream.signed_in,
        "state_dir": settings.state_dir / "upstreams" / upstream.name,
        "claude_config_dir": settings.claude_config_dir if upstream.signed_in else None,
        "anthropic_base_url": upstream.base_url or settings.anthropic_base_url,
        "retries": retries if upstream.retries is None else upstream.retries,
    }
    key, token = upstream.api_key, upstream.auth_token
    if key or token or upstream.signed_in or upstream.cloud:
        changes |= {"anthropic_api_key": key, "anthropic_auth_token": token}
    return settings.model_copy(update=changes)


def _upstream(
    settings: Settings,
    upstream: UpstreamSettings,
    place: int,
    *,
    simulator: str | None,
    keep: Keep | None,
    ledger: Ledger,
) -> Upstream:
    own = settings_of(settings, upstream)
    try:
        backend: Backend = backend_for(own, simulator, _cloud(upstream, own))
    except BadSettings as error:
        raise BadSettings(f"upstream `{upstream.name}`: {error}") from None
    budget = None
    if upstream.daily_budget is not None:
        budget = Budget(upstream.name, upstream.daily_budget, ledger)
        backend = Metered(backend, budget)
    account = f"{upstream.cloud}:{upstream.name}" if upstream.cloud else account_of(own)
    return Upstream(
        upstream.name,
        Account(backend, Thinking(keep, account) if keep else None),
        order=place if upstream.order is None else upstream.order,
        models=patterns_of(settings, upstream),
        clients=upstream.keys,
        places=upstream.places,
        budget=budget,
        agents=upstream.backend == "runtime",
    )


def served_models(settings: Settings, catalog: Catalog) -> tuple[Model, ...]:
    """The models of the catalog that somebody serves."""
    served = [patterns_of(settings, upstream) for upstream in settings.upstreams] or [[]]
    return tuple(model for model in catalog.models if any(serves(patterns, model.id) for patterns in served))


def serves_of(claude: Operated) -> Serves:
    """Whether a client is served a model: where there is one account, each client is served all."""
    return claude.serves if isinstance(claude, Router) else everything


def _cloud(upstream: UpstreamSettings, own: Settings) -> CloudPlace:
    key = revealed(own.anthropic_api_key) if upstream.cloud else None
    where = upstream.region, upstream.project, upstream.profile
    return CloudPlace(*where, upstream.model_ids, key, upstream.base_url)


def patterns_of(settings: Settings, upstream: UpstreamSettings) -> list[str]:
    """Its models by their ids; names that the catalog does not know may be ones that only the live list knows."""
    catalog = Catalog(aliases=settings.model_aliases)
    made = []
    for name in upstream.models:
        try:
            made.append(catalog.resolve(name).model.id)
        except NotFound:
            made.append(name)
    return made
