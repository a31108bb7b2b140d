"""Backends, the router over several upstreams, the embedder, and the models they serve, built from settings."""

import hashlib
import importlib.metadata
from collections.abc import Awaitable, Callable, Collection

from dragoman.backends.base import Backend, Embedder, ManagedBackend, ReportsStatus
from dragoman.backends.embeddings.library import AbsentEmbedder, installed, locate_model
from dragoman.backends.embeddings.local import LocalEmbedder, LocalOptions
from dragoman.config.secrets import reveal
from dragoman.config.settings import Settings
from dragoman.config.upstreams import UpstreamSettings
from dragoman.core.catalog import Catalog
from dragoman.core.errors import NotFound
from dragoman.core.messages import JSONObject
from dragoman.core.value_object import replace
from dragoman.routing.budget import Budget
from dragoman.routing.router import Router
from dragoman.routing.upstream import Upstream, serves
from dragoman.runs.executor import RunExecutor
from dragoman.runs.metering import Meter
from dragoman.runs.reasoning_store import ReasoningStore
from dragoman.server.catalog import MayUse, allow_all
from dragoman.stores.base import KeyValueStore
from dragoman.wiring.checks import SIMULATED_KEY


def build_router(
    settings: Settings,
    simulator: str | None,
    thinking: KeyValueStore | None,
    meter: Meter,
    upstreams_of: Callable[[str], Collection[str]],
) -> Router:
    """Build one backend for each upstream, and the router over them.

    Args:
        settings: All settings, checked.
        simulator: The address of a simulator to call instead of every upstream.
        thinking: Where thinking is stored.
        meter: Decides on daily budgets.
        upstreams_of: Returns the upstreams that a client's key names.
    """
    upstreams = []
    for position, upstream in enumerate(settings.upstreams, 1):
        own = settings.for_upstream(upstream)
        backend = build_backend(own, simulator, upstream, settings)
        daily = upstream.daily_budget
        account = f"{upstream.cloud}:{upstream.name}" if upstream.cloud else account_fingerprint(own)
        built = Upstream(
            upstream.name,
            RunExecutor(backend, ReasoningStore(thinking, account) if thinking else None),
            order=position if upstream.order is None else upstream.order,
            models=_model_patterns(settings, upstream),
            clients=upstream.keys,
            slots=upstream.places,
            budget=None if daily is None else Budget(upstream.name, daily, meter),
            agents=upstream.backend == "runtime",
            upstreams_of=upstreams_of,
        )
        upstreams.append(built)
    return Router(upstreams, fallback=settings.fallback)


def account_fingerprint(settings: Settings) -> str:
    """Return text that distinguishes the account from others, and does not reveal its key."""
    if settings.signed_in:
        return "signed-in"
    key = reveal(settings.anthropic_api_key) or reveal(settings.anthropic_auth_token) or settings.cloud or ""
    return hashlib.sha256(key.encode()).hexdigest()


def build_backend(
    settings: Settings,
    simulator: str | None,
    upstream: UpstreamSettings | None = None,
    all_settings: Settings | None = None,
) -> Backend:
    """Build the backend of one account.

    Args:
        settings: The settings of the account, checked.
        simulator: The address of a simulator to call instead of Claude.
        upstream: The upstream, for its place on a cloud.
        all_settings: The settings of all accounts. By default the same.
    """
    if settings.backend == "runtime":
        from dragoman.wiring.claude_code import build_runtime_backend  # noqa: PLC0415 - only the chosen backend

        return build_runtime_backend(settings, simulator, all_settings)
    if settings.backend == "cli":
        from dragoman.backends.claude_cli.backend import ClaudeCliBackend  # noqa: PLC0415 - only the chosen backend
        from dragoman.backends.claude_cli.options import ClaudeCliOptions  # noqa: PLC0415 - the same
        from dragoman.wiring.claude_code import installation_options  # noqa: PLC0415 - the same

        installation = installation_options(settings, simulator)
        return ClaudeCliBackend(
            ClaudeCliOptions(**installation, keep=settings.keep_output, keep_for=settings.output_ttl)
        )
    return _build_api_backend(settings, simulator, upstream)


def _build_api_backend(settings: Settings, simulator: str | None, upstream: UpstreamSettings | None) -> Backend:
    from dragoman.backends.anthropic.backend import AnthropicBackend  # noqa: PLC0415 - only the chosen backend
    from dragoman.backends.anthropic.options import AnthropicOptions  # noqa: PLC0415 - the same

    options = AnthropicOptions(
        api_key=SIMULATED_KEY if simulator else reveal(settings.anthropic_api_key),
        auth_token=reveal(settings.anthropic_auth_token),
        base_url=simulator or settings.anthropic_base_url,
        retries=settings.retries,
        silence=settings.silence_timeout,
        cache_ttl=settings.cache_ttl,
    )
    if settings.cloud is None or simulator:
        return AnthropicBackend(options)
    from dragoman.backends.anthropic.clouds.backend import CloudBackend, CloudOptions  # noqa: PLC0415 - an extra

    cloud = CloudOptions(kind=settings.cloud)
    if upstream:
        cloud = replace(
            cloud,
            region=upstream.region,
            project=upstream.project,
            profile=upstream.profile,
            model_ids=upstream.model_ids,
            api_key=reveal(settings.anthropic_api_key),
        )
    return CloudBackend(replace(options, base_url=upstream.base_url if upstream else None), cloud)


def build_embedder(settings: Settings) -> Embedder:
    """Build the embedder: a remote endpoint, a local model, or one that says how to install a model."""
    if settings.embeddings_url:
        from dragoman.backends.embeddings.remote import RemoteEmbedder, RemoteOptions  # noqa: PLC0415 - seldom used

        return RemoteEmbedder(
            RemoteOptions(
                url=settings.embeddings_url,
                model=settings.embeddings_model,
                key=reveal(settings.embeddings_api_key),
                batch=settings.embeddings_batch,
                truncate=settings.embeddings_truncate,
                timeout=settings.embeddings_timeout,
            )
        )
    location = locate_model(settings.embeddings_model)
    if not installed():
        return AbsentEmbedder(location.name)
    return LocalEmbedder(
        location,
        LocalOptions(
            batch=settings.embeddings_batch,
            truncate=settings.embeddings_truncate,
            timeout=settings.embeddings_timeout,
            max_waiting=settings.max_queue_size,
        ),
    )


def build_catalog(settings: Settings) -> Catalog:
    """Return the models that are served, and their names."""
    catalog = Catalog(
        aliases=settings.model_aliases, default=settings.default_model, map_retired=settings.map_retired_models
    )
    if settings.models:
        return catalog.restricted_to(settings.models)
    served = [_model_patterns(settings, upstream) for upstream in settings.upstreams] or [[]]
    models = tuple(model for model in catalog.models if any(serves(patterns, model.id) for patterns in served))
    return replace(catalog, models=models)


def _model_patterns(settings: Settings, upstream: UpstreamSettings) -> list[str]:
    """Return the models of an upstream by id. Names that the catalog does not know may be on Claude's own list."""
    catalog = Catalog(aliases=settings.model_aliases)
    patterns = []
    for name in upstream.models:
        try:
            patterns.append(catalog.resolve(name).model.id)
        except NotFound:
            patterns.append(name)
    return patterns


def serves_of(backend: ManagedBackend) -> MayUse:
    """Return whether a client may use a model. With one account, every client may use all."""
    return backend.serves if isinstance(backend, Router) else allow_all


def inquiry_of(backend: ManagedBackend) -> Callable[[], Awaitable[JSONObject]]:
    """Return a function for the status page: versions, and what takes the backend a while to find out."""
    versions: JSONObject = {"claude_agent_sdk": importlib.metadata.version("claude-agent-sdk")}

    async def inquire() -> JSONObject:
        return versions | (await backend.inquire() if isinstance(backend, ReportsStatus) else {})

    return inquire
