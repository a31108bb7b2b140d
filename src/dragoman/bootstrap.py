"""The composition root: the only place that picks concrete classes."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass

from pydantic import SecretStr
from starlette.types import ASGIApp

from dragoman.backends.base import Backend, Embedder
from dragoman.backends.embedders.absent import AbsentEmbedder
from dragoman.backends.embedders.local import LocalEmbedder, LocalOptions
from dragoman.backends.embedders.places import installed, place_of
from dragoman.backends.runtime import RuntimeBackend, RuntimeOptions
from dragoman.backends.runtime.doctor import Finding, examine
from dragoman.backends.runtime.probe import ScriptedApi
from dragoman.catalog import Catalog
from dragoman.errors import NotFound
from dragoman.fetch import FillMedia, leave_to_api
from dragoman.runs import Engine, Limits
from dragoman.runs.thinking import Thinking
from dragoman.server import Dialects, Embed, LiveCatalog, Operations, Options, build_app
from dragoman.server.hosts import is_loopback
from dragoman.settings import BadSettings, Settings
from dragoman.stores.sqlite import SQLiteKeep
from dragoman.wire.anthropic_messages import AnthropicMessages
from dragoman.wire.openai_chat import OpenAIChat
from dragoman.wire.openai_completions import OpenAICompletions
from dragoman.wire.openai_embeddings import OpenAIEmbeddings
from dragoman.wire.openai_responses import OpenAIResponses
from dragoman.wire.options import WireOptions

SIMULATED_KEY = "sk-ant-simulated"
_THINKING_ENTRIES = 20_000


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that runs.

    Attributes:
        app: What a server is given to serve.
        backend: How Claude is asked.
        drain: Takes nothing new, lets what runs end for so many seconds, then ends it with an error.
        simulator: The simulator's address, if it stands in for Claude.
    """

    app: ASGIApp
    backend: Backend
    drain: Callable[[float], Awaitable[None]]
    simulator: str | None = None


@asynccontextmanager
async def build(
    settings: Settings, backend: Backend | None = None, embedder: Embedder | None = None
) -> AsyncIterator[Gateway]:
    """Make a gateway, and end all that it owns on the way out, the youngest part first.

    Args:
        settings: What it is told.
        backend: A backend to use instead of the one that the settings name.
        embedder: The same for what makes embeddings.

    Raises:
        BadSettings: It would not be safe to start like this, or a named model does not exist.
    """
    check_exposure(settings)
    catalog, fill_media = _catalog(settings), _fill_media(settings)
    async with AsyncExitStack() as stack:
        simulator = await _simulator(stack) if settings.simulate else None
        backend = backend or _backend(settings, simulator)
        stack.push_async_callback(backend.aclose)
        await backend.start()
        engine = Engine(backend, _limits(settings), _thinking(stack, settings))
        stack.push_async_callback(engine.aclose, 0)
        embedder = embedder or _embedder(settings)
        stack.push_async_callback(embedder.aclose)
        app = _app(_options(settings, fill_media), settings, catalog, backend, engine, embedder)

        async def drain(grace: float) -> None:
            await asyncio.gather(engine.aclose(grace), embedder.aclose(grace))

        yield Gateway(app, backend, drain, simulator)


async def diagnose(settings: Settings) -> AsyncGenerator[Finding]:
    """Try the runtime against a simulator of its own, and tell of each finding as it is made."""
    from dragoman.simulator import Simulator  # noqa: PLC0415 - seldom wanted, and the start should be quick

    async with Simulator() as simulator:
        api = ScriptedApi(simulator.url, lambda: [call.body for call in simulator.calls])
        async with aclosing(examine(runtime_options(settings, simulator.url), api)) as findings:
            async for finding in findings:
                yield finding


def check_exposure(settings: Settings) -> None:
    """Refuse what would give strangers the use of the owner's account.

    Raises:
        BadSettings: With what to do instead.
    """
    if "*" in settings.allow_origin and not settings.api_key:
        raise BadSettings(
            "allow_origin (--allow-origin) is `*`: every web page could use this gateway. Set a key: --api-key KEY."
        )
    if is_loopback(settings.host):
        return
    if not settings.api_key:
        raise BadSettings(
            f"host (--host) is {settings.host}, where others can reach it, and no key is set. Set one: "
            f"`dragoman serve --host {settings.host} --api-key KEY`, or stay on 127.0.0.1."
        )
    if settings.signed_in and not settings.allow_remote_signed_in:
        raise BadSettings(
            f"signed_in (--signed-in) serves the account's owner alone, but host (--host) is {settings.host}, where "
            "others can reach it. Stay on 127.0.0.1; or, if nobody else will use it, say so: "
            "--allow-remote-signed-in."
        )


def _catalog(settings: Settings) -> Catalog:
    catalog = Catalog(
        aliases=settings.model_aliases, default=settings.default_model, map_retired=settings.map_retired_models
    )
    if not settings.models:
        return catalog
    try:
        return catalog.only(settings.models)
    except NotFound as error:
        raise BadSettings(f"models (--models, DRAGOMAN_MODELS): {error.message}") from None


async def _simulator(stack: AsyncExitStack) -> str:
    from dragoman.simulator import Simulator  # noqa: PLC0415 - seldom wanted, and the start should be quick

    return (await stack.enter_async_context(Simulator())).url


def _backend(settings: Settings, simulator: str | None) -> Backend:
    if settings.backend == "runtime":
        return RuntimeBackend(runtime_options(settings, simulator))
    from dragoman.backends.api import ApiBackend, ApiOptions  # noqa: PLC0415 - the one that is wanted alone

    if settings.signed_in:
        raise BadSettings(
            "signed_in (--signed-in) is the sign-in of Claude Code, which Claude Code alone may use: it goes with "
            "`--backend runtime`. The backend `api` takes ANTHROPIC_API_KEY, or a profile of `ant auth login`."
        )
    own_account = simulator is None
    return ApiBackend(
        ApiOptions(
            api_key=_secret(settings.anthropic_api_key) if own_account else SIMULATED_KEY,
            auth_token=_secret(settings.anthropic_auth_token),
            base_url=settings.anthropic_base_url if own_account else simulator,
            retries=settings.retries,
            silence=settings.silence_timeout,
            cache_ttl=settings.cache_ttl,
        )
    )


def runtime_options(settings: Settings, simulator: str | None = None) -> RuntimeOptions:
    """The runtime's part of the settings.

    Args:
        settings: All of them.
        simulator: The address of a simulator that stands in for Claude, with no account of the owner's.
    """
    own_account = simulator is None
    return RuntimeOptions(
        state_dir=settings.state_dir.expanduser(),
        command=settings.claude_command,
        api_key=_secret(settings.anthropic_api_key) if own_account else SIMULATED_KEY,
        base_url=settings.anthropic_base_url if own_account else simulator,
        signed_in=settings.signed_in and own_account,
        config_dir=settings.claude_config_dir if own_account else None,
        default_model=Catalog(aliases=settings.model_aliases).resolve(settings.default_model).model.id,
        spares=settings.spares,
        max_live=settings.max_live,
        live_ttl=settings.live_ttl,
        parked_ttl=settings.parked_ttl,
        max_memory=settings.max_memory,
        silence=settings.silence_timeout,
        retries=settings.retries,
    )


def _thinking(stack: AsyncExitStack, settings: Settings) -> Thinking | None:
    if not settings.thinking_ttl:
        return None
    path = settings.state_dir.expanduser() / "thinking.db"
    keep = SQLiteKeep(path, ttl=settings.thinking_ttl, entries=_THINKING_ENTRIES)
    stack.push_async_callback(keep.aclose)
    key = _secret(settings.anthropic_api_key) or _secret(settings.anthropic_auth_token) or ""
    return Thinking(keep, "signed-in" if settings.signed_in else hashlib.sha256(key.encode()).hexdigest())


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_concurrency=settings.max_concurrency,
        max_queue_size=settings.max_queue_size,
        run_timeout=settings.run_timeout,
        requests_per_minute=settings.requests_per_minute,
    )


def _app(
    options: Options, settings: Settings, catalog: Catalog, backend: Backend, engine: Engine, embedder: Embedder
) -> ASGIApp:
    async def listed() -> Iterable[tuple[str, str]]:
        return [(model.id, model.name) for model in await backend.models()]

    live = LiveCatalog(catalog, None if settings.models else listed)
    choices = WireOptions(strict_parameters=settings.strict_parameters, strict_mapping=settings.strict_mapping)
    dialects = Dialects(
        OpenAIChat(live, choices),
        OpenAICompletions(live, choices),
        OpenAIResponses(live, choices),
        AnthropicMessages(live),
    )
    embed = Embed(OpenAIEmbeddings(embedder.model, settings.model_aliases, choices), embedder, options)
    operations = Operations(backend.name, backend.ready, backend.status)
    return build_app(dialects, engine, live, embed, operations, options)


def _embedder(settings: Settings) -> Embedder:
    if settings.embeddings_url:
        return _remote_embedder(settings, settings.embeddings_url)
    place = place_of(settings.embeddings_model)
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
    from dragoman.backends.embedders.remote import RemoteEmbedder, RemoteOptions  # noqa: PLC0415 - as in `_fill_media`

    if "embeddings_model" not in settings.model_fields_set:
        raise BadSettings("embeddings_url (--embeddings-url) needs the name of a model there: --embeddings-model NAME.")
    options = RemoteOptions(
        url=url,
        model=settings.embeddings_model,
        key=_secret(settings.embeddings_api_key),
        batch=settings.embeddings_batch,
        truncate=settings.embeddings_truncate,
        timeout=settings.embeddings_timeout,
    )
    return RemoteEmbedder(options)


def _fill_media(settings: Settings) -> FillMedia:
    if settings.fetch_urls == ("off",):
        return leave_to_api
    from dragoman.fetch.fetcher import Fetcher, FetchOptions  # noqa: PLC0415 - its HTTP client is slow to import
    from dragoman.fetch.rules import Rules  # noqa: PLC0415 - the same

    try:
        rules = Rules(None if settings.fetch_urls == ("on",) else settings.fetch_urls)
    except ValueError as error:
        raise BadSettings(f"fetch_urls (--fetch-urls, DRAGOMAN_FETCH_URLS): {error}") from None
    return Fetcher(FetchOptions(rules, settings.fetch_timeout, settings.fetch_max_bytes))


def _options(settings: Settings, fill_media: FillMedia) -> Options:
    key = _secret(settings.api_key)
    return Options(
        host=settings.host,
        api_key=key.encode() if key else None,
        allow_hosts=settings.allow_host,
        allow_origins=settings.allow_origin,
        open_models=settings.open_models,
        max_request_bytes=settings.max_request_bytes,
        heartbeat=settings.heartbeat,
        payloads=settings.log_level in {"debug", "trace"},
        trace=settings.log_level == "trace",
        fill_media=fill_media,
    )


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value else None
