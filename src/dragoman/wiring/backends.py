"""What makes embeddings: a model on this machine, or another's endpoint.

Where thinking is kept, and whose it is.

How Claude is asked: the backend that the settings name, and what tries its runtime.

Several accounts: one backend each, as if it were the only one, and the router before them.

The models of the gateway, by the settings.

What takes a moment to find out, for the operator.
"""

import hashlib
import importlib.metadata
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from dragoman.backends.base import Backend, Embedder, ManagedBackend, ReportsStatus
from dragoman.backends.claude_code.backend import ClaudeCodeBackend
from dragoman.backends.claude_code.doctor.probe import ScriptedApi
from dragoman.backends.claude_code.doctor.report import Finding, examine
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.embeddings.library import AbsentEmbedder, installed, locate_model
from dragoman.backends.embeddings.local import LocalEmbedder, LocalOptions
from dragoman.config.loading import BadSettings, describe_setting
from dragoman.config.secrets import reveal
from dragoman.config.settings import Settings
from dragoman.config.upstreams import OWNER, Cloud, UpstreamSettings
from dragoman.core.catalog import ASKED_FOR, Catalog, Model
from dragoman.core.errors import NotFound
from dragoman.core.messages import JSONObject
from dragoman.routing.budget import Budget
from dragoman.routing.router import Router
from dragoman.routing.upstream import BudgetedBackend, Upstream, serves
from dragoman.runs.executor import RunExecutor
from dragoman.runs.reasoning_store import ReasoningStore
from dragoman.server.catalog import Serves, everything
from dragoman.stores.base import KeyValueStore, SpendingLedger
from dragoman.stores.sqlite.key_values import SQLiteKeyValueStore
from dragoman.wiring.checks import agent_rules, check_command, command_of


def build_embedder(settings: Settings) -> Embedder:
    """The embedder that the settings name.

    Raises:
        BadSettings: They do not say enough.
    """
    if settings.embeddings_url:
        return _remote_embedder(settings, settings.embeddings_url)
    place = locate_model(settings.embeddings_model)
    if not installed():
        return AbsentEmbedder(place.name)
    options = LocalOptions(
        batch=settings.embeddings_batch,
        truncate=settings.embeddings_truncate,
        timeout=settings.embeddings_timeout,
        max_waiting=settings.max_queue_size,
    )
    return LocalEmbedder(place, options)


def _remote_embedder(settings: Settings, url: str) -> Embedder:
    from dragoman.backends.embeddings.remote import RemoteEmbedder, RemoteOptions  # noqa: PLC0415 - imports an HTTP client

    if "embeddings_model" not in settings.model_fields_set:
        raise BadSettings("embeddings_url (--embeddings-url) needs the name of a model there: --embeddings-model NAME.")
    options = RemoteOptions(
        url=url,
        model=settings.embeddings_model,
        key=reveal(settings.embeddings_api_key),
        batch=settings.embeddings_batch,
        truncate=settings.embeddings_truncate,
        timeout=settings.embeddings_timeout,
    )
    return RemoteEmbedder(options)


_ENTRIES = 20_000


def build_key_value_store(settings: Settings) -> SQLiteKeyValueStore | None:
    """The file that thinking is kept in, if it is."""
    if not settings.thinking_ttl:
        return None
    return SQLiteKeyValueStore(
        settings.state_dir.expanduser() / "thinking.db", ttl=settings.thinking_ttl, entries=_ENTRIES
    )


def account_fingerprint(settings: Settings) -> str:
    """What tells the account from others, without telling its key."""
    if settings.signed_in:
        return "signed-in"
    key = reveal(settings.anthropic_api_key) or reveal(settings.anthropic_auth_token) or settings.cloud or ""
    return hashlib.sha256(key.encode()).hexdigest()


if TYPE_CHECKING:
    from dragoman.backends.anthropic.options import AnthropicOptions

SIMULATED_KEY = "sk-ant-simulated"


@dataclass(frozen=True, slots=True)
class CloudPlace:
    """Where on a cloud Claude is asked; what is None is for the cloud's own variables and files to say.

    Attributes:
        region: Its region.
        project: The Google Cloud project.
        profile: The profile of the AWS configuration.
        model_ids: What it calls models, where that is not what it usually is.
        api_key: A key of Bedrock's own.
        base_url: Another address of it.
    """

    region: str | None = None
    project: str | None = None
    profile: str | None = None
    model_ids: Mapping[str, str] = field(default_factory=dict)
    api_key: str | None = None
    base_url: str | None = None


_ANYWHERE = CloudPlace()


def build_backend(settings: Settings, simulator: str | None, place: CloudPlace = _ANYWHERE) -> Backend:
    """The backend.

    Args:
        settings: Which, and with what account.
        simulator: The address of a simulator that stands in for Claude.
        place: Where, if it is on a cloud.

    Raises:
        BadSettings: It cannot be had with these settings.
    """
    if settings.cloud and settings.backend != "api":
        raise BadSettings("cloud (--cloud) goes with `--backend api`.")
    if settings.backend != "api":
        check_command(settings)
    if settings.backend == "runtime":
        return ClaudeCodeBackend(runtime_options(settings, simulator))
    if settings.backend == "cli":
        return _cli_backend(settings, simulator)
    from dragoman.backends.anthropic.backend import AnthropicBackend  # noqa: PLC0415 - the one that is wanted alone
    from dragoman.backends.anthropic.options import AnthropicOptions  # noqa: PLC0415 - the one that is wanted alone

    if settings.signed_in:
        raise BadSettings(
            "signed_in (--signed-in) is the sign-in of Claude Code, which Claude Code alone may use: it goes with "
            "`--backend runtime`. The backend `api` takes ANTHROPIC_API_KEY, or a profile of `ant auth login`."
        )
    own_account = simulator is None
    options = AnthropicOptions(
        api_key=reveal(settings.anthropic_api_key) if own_account else SIMULATED_KEY,
        auth_token=reveal(settings.anthropic_auth_token),
        base_url=settings.anthropic_base_url if own_account else simulator,
        retries=settings.retries,
        silence=settings.silence_timeout,
        cache_ttl=settings.cache_ttl,
    )
    if settings.cloud is None or not own_account:
        return AnthropicBackend(options)
    return _on_cloud(settings.cloud, options, place)


def _on_cloud(cloud: Cloud, options: "AnthropicOptions", place: CloudPlace) -> Backend:
    from dragoman.backends.anthropic.clouds.backend import CloudBackend, CloudOptions  # noqa: PLC0415 - an extra

    made = CloudOptions(
        kind=cloud,
        region=place.region,
        project=place.project,
        profile=place.profile,
        model_ids=place.model_ids,
        api_key=place.api_key,
    )
    return CloudBackend(replace(options, base_url=place.base_url), made)


class _Installation(TypedDict):
    """What both backends that run Claude Code are told."""

    state_dir: Path
    command: Path | None
    api_key: str | None
    base_url: str | None
    signed_in: bool
    config_dir: Path | None
    retries: int
    silence: float


def _installation(settings: Settings, simulator: str | None) -> _Installation:
    own_account = simulator is None
    return _Installation(
        state_dir=settings.state_dir.expanduser(),
        command=command_of(settings),
        api_key=reveal(settings.anthropic_api_key) if own_account else SIMULATED_KEY,
        base_url=settings.anthropic_base_url if own_account else simulator,
        signed_in=settings.signed_in and own_account,
        config_dir=settings.claude_config_dir if own_account else None,
        retries=settings.retries,
        silence=settings.silence_timeout,
    )


def _cli_backend(settings: Settings, simulator: str | None) -> Backend:
    from dragoman.backends.claude_cli.backend import ClaudeCliBackend  # noqa: PLC0415 - as above
    from dragoman.backends.claude_cli.options import ClaudeCliOptions  # noqa: PLC0415 - as above

    return ClaudeCliBackend(
        ClaudeCliOptions(
            **_installation(settings, simulator),
            keep=settings.keep_output,
            keep_for=settings.output_ttl,
        )
    )


def runtime_options(settings: Settings, simulator: str | None = None) -> ClaudeCodeOptions:
    """The runtime's part of the settings.

    Args:
        settings: All of them.
        simulator: The address of a simulator that stands in for Claude, with no account of the owner's.
    """
    return ClaudeCodeOptions(
        **_installation(settings, simulator),
        default_model=_default_model(settings),
        spares=settings.spares,
        max_live=settings.max_live,
        live_ttl=settings.live_ttl,
        parked_ttl=settings.parked_ttl,
        max_memory=settings.max_memory,
        trace=settings.log_level == "trace" or settings.trace_file is not None,
        agents=agent_rules(settings),
    )


def _default_model(settings: Settings) -> str:
    """Its id; the name itself, where it is perhaps newer than what is known here."""
    try:
        return Catalog(aliases=settings.model_aliases).resolve(settings.default_model).model.id
    except NotFound:
        return settings.default_model


async def diagnose(settings: Settings) -> AsyncGenerator[Finding]:
    """Try the runtime against a simulator of its own, and tell of each finding as it is made."""
    from dragoman.simulator.server import Simulator  # noqa: PLC0415 - seldom wanted, and the start should be quick

    async with Simulator() as simulator:
        api = ScriptedApi(simulator.url, lambda: [call.body for call in simulator.calls])
        async with aclosing(examine(runtime_options(settings, simulator.url), api)) as findings:
            async for finding in findings:
                yield finding


def build_router(
    settings: Settings, simulator: str | None, keep: KeyValueStore | None, ledger: SpendingLedger
) -> Router:
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
    keep: KeyValueStore | None,
    ledger: SpendingLedger,
) -> Upstream:
    own = settings_of(settings, upstream)
    try:
        backend: Backend = build_backend(own, simulator, _cloud(upstream, own))
    except BadSettings as error:
        raise BadSettings(f"upstream `{upstream.name}`: {error}") from None
    budget = None
    if upstream.daily_budget is not None:
        budget = Budget(upstream.name, upstream.daily_budget, ledger)
        backend = BudgetedBackend(backend, budget)
    account = f"{upstream.cloud}:{upstream.name}" if upstream.cloud else account_fingerprint(own)
    return Upstream(
        upstream.name,
        RunExecutor(backend, ReasoningStore(keep, account) if keep else None),
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


def serves_of(claude: ManagedBackend) -> Serves:
    """Whether a client is served a model: where there is one account, each client is served all."""
    return claude.serves if isinstance(claude, Router) else everything


def _cloud(upstream: UpstreamSettings, own: Settings) -> CloudPlace:
    key = reveal(own.anthropic_api_key) if upstream.cloud else None
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


def build_catalog(settings: Settings) -> Catalog:
    """The models and their names.

    Raises:
        BadSettings: One that the settings name does not exist.
    """
    whole = Catalog(
        aliases=settings.model_aliases, default=settings.default_model, map_retired=settings.map_retired_models
    )
    _check(whole, "default_model", settings.default_model)
    for name in settings.models:
        _check(whole, "models", name)
    if settings.models:
        return whole.only(settings.models)
    return replace(whole, models=served_models(settings, whole))


def _check(catalog: Catalog, setting: str, name: str) -> None:
    try:
        catalog.resolve(name)
    except NotFound as error:
        if setting == "default_model" and _may_be_newer(catalog, name):
            return
        raise BadSettings(
            f"{describe_setting(setting)}: {error.message.replace(ASKED_FOR, '`dragoman models`')}"
        ) from None


def _may_be_newer(catalog: Catalog, name: str) -> bool:
    """Whether this may be a model that only Claude's own list knows; a retired one is none."""
    try:
        replace(catalog, map_retired=True).resolve(name)
    except NotFound:
        return name.startswith("claude-")
    return False


def inquiry_of(claude: ManagedBackend) -> Callable[[], Awaitable[JSONObject]]:
    """Asks the backend, if it has more to tell, and names the versions of what is installed."""
    versions: JSONObject = {"claude_agent_sdk": importlib.metadata.version("claude-agent-sdk")}

    async def inquire() -> JSONObject:
        return versions | (await claude.inquire() if isinstance(claude, ReportsStatus) else {})

    return inquire
