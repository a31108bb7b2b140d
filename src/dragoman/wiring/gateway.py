"""Where the records of runs are kept.

Who may come in by which key.

What fills in images and files that come by URL.

Where answers are kept, and what closes that which clients carry.

Putting a gateway together.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from starlette.types import ASGIApp

from dragoman.backends.base import Backend, Embedder, ManagedBackend
from dragoman.config.loading import BadSettings
from dragoman.config.secrets import resolve_secrets, reveal
from dragoman.config.settings import Settings
from dragoman.config.upstreams import OWNER
from dragoman.dialects.base import DialectOptions
from dragoman.dialects.chat.dialect import ChatDialect
from dragoman.dialects.completions.dialect import CompletionsDialect
from dragoman.dialects.embeddings.dialect import EmbeddingsDialect
from dragoman.dialects.messages.dialect import MessagesDialect
from dragoman.dialects.responses.dialect import CompactDialect, InputTokensDialect, ResponsesDialect
from dragoman.dialects.shared.sealing import ReasoningCipher
from dragoman.fetch.base import FetchMedia, leave_urls_to_api
from dragoman.runs.engine import Engine, Limits
from dragoman.runs.executor import Dispatcher
from dragoman.runs.reasoning_store import ReasoningStore
from dragoman.runs.records import RunRegistry
from dragoman.server.app import Dialects, build_app
from dragoman.server.auth import ApiKey
from dragoman.server.catalog import LiveCatalog
from dragoman.server.embeddings import EmbeddingsHandler
from dragoman.server.options import Operations, ServerOptions
from dragoman.server.responses.job import Jobs
from dragoman.server.responses.shelf import StoredResponseService
from dragoman.stores.base import KeyValueStore, ResponseStoreLimits
from dragoman.stores.crypto import KEY_BYTES, Cipher
from dragoman.stores.sqlite.responses import SQLiteResponseStore
from dragoman.stores.sqlite.run_records import SQLiteRunStore
from dragoman.stores.sqlite.spending import SQLiteSpendingLedger
from dragoman.wiring.backends import (
    account_fingerprint,
    build_backend,
    build_catalog,
    build_embedder,
    build_key_value_store,
    build_router,
    inquiry_of,
    serves_of,
)
from dragoman.wiring.checks import check_agents, check_exposure


def build_run_registry(settings: Settings) -> RunRegistry:
    """The journal that the settings want."""
    if not settings.runs_kept:
        return RunRegistry()
    path = settings.state_dir.expanduser() / "runs.db"
    store = SQLiteRunStore(path, ttl=settings.runs_ttl, entries=settings.runs_kept)
    return RunRegistry(store, content=settings.runs_content)


def client_keys(settings: Settings) -> tuple[ApiKey, ...]:
    """The owner of the gateway's one key, who operates it, and the clients that have keys of their own.

    Raises:
        BadSettings: A client's key is the one key.
    """
    owner = reveal(settings.api_key)
    held = {key.name: secret for key in settings.keys if (secret := reveal(key.api_key))}
    if same := next((name for name, key in held.items() if key == owner), None):
        raise BadSettings(f"the key `{same}` is the gateway's own (--api-key), too: give its client another one.")
    clients = [ApiKey(key.name, held[key.name].encode(), settings.agents and key.agents) for key in settings.keys]
    owners = [ApiKey(OWNER, owner.encode(), settings.agents, operator=True)] if owner else []
    return (*owners, *clients)


def build_media_fetcher(settings: Settings, stack: AsyncExitStack) -> FetchMedia:
    """What the settings want done with them.

    Args:
        settings: From where, and how much.
        stack: Closes it.

    Raises:
        BadSettings: A host to fetch from makes no sense.
    """
    if settings.fetch_urls == ("off",):
        return leave_urls_to_api
    from dragoman.fetch.fetcher import Fetcher, FetchOptions  # noqa: PLC0415 - slow to import
    from dragoman.fetch.rules import Rules  # noqa: PLC0415 - the same

    try:
        rules = Rules(None if settings.fetch_urls == ("on",) else settings.fetch_urls)
    except ValueError as error:
        raise BadSettings(f"fetch_urls (--fetch-urls, DRAGOMAN_FETCH_URLS): {error}") from None
    fetcher = Fetcher(FetchOptions(rules, settings.fetch_timeout, settings.fetch_max_bytes))
    stack.callback(fetcher.close)
    return fetcher


log = structlog.get_logger("dragoman.stores")


def build_response_store(settings: Settings, stack: AsyncExitStack) -> StoredResponseService | None:
    """Where answers are kept, if they are to be.

    Args:
        settings: How long, and how much.
        stack: Closes it.
    """
    if not settings.store:
        return None
    limits = ResponseStoreLimits(
        ttl=settings.store_ttl, entries=settings.store_max_entries, size=settings.store_max_bytes
    )
    archive = SQLiteResponseStore(settings.state_dir.expanduser() / "answers.db", limits)
    stack.push_async_callback(archive.aclose)
    jobs = Jobs(archive)
    stack.push_async_callback(jobs.aclose)
    return StoredResponseService(archive, jobs)


def build_cipher(settings: Settings) -> ReasoningCipher:
    """What closes that which clients carry: with the installation's key, so that any start of it can open it again."""
    folder = settings.state_dir.expanduser()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return ReasoningCipher(Cipher.of_file(folder / "carried.key"))
    except OSError as error:
        log.warning("seal.forgotten", error=str(error), means="what clients are given now is nothing after a restart")
        return ReasoningCipher(Cipher(os.urandom(KEY_BYTES)))


_REMEMBERED = 100
"""Requests that the simulator of a gateway remembers, for those who look: it may run for days."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that runs.

    Attributes:
        app: What a server is given to serve.
        backend: How Claude is asked: one way, or several.
        drain: Takes nothing new, lets what runs end for so many seconds, then ends it with an error.
        simulator: The simulator's address, if it stands in for Claude.
    """

    app: ASGIApp
    backend: ManagedBackend
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
        BadSettings: It would not be safe to start like this, or a key or model that is named does not exist.
    """
    settings = resolve_secrets(settings)
    check_exposure(settings)
    check_agents(settings)
    catalog, holders = build_catalog(settings), client_keys(settings)
    async with AsyncExitStack() as stack:
        fetch_media = build_media_fetcher(settings, stack)
        simulator = await _simulator(stack) if settings.simulate else None
        keep = _keep(stack, settings)
        claude = backend or _claude(stack, settings, simulator, keep)
        stack.push_async_callback(claude.aclose)
        await claude.start()
        thinking = ReasoningStore(keep, account_fingerprint(settings)) if keep else None
        journal = build_run_registry(settings)
        stack.push_async_callback(journal.aclose)
        engine = Engine(claude, _limits(settings), thinking, journal)
        shelf = build_response_store(settings, stack)
        # Pushed after the shelf: the runs end before those who keep what they answered.
        stack.push_async_callback(engine.aclose, 0)
        embedder = embedder or build_embedder(settings)
        stack.push_async_callback(embedder.aclose)
        operations = Operations(claude.name, claude.ready, claude.status, inquiry_of(claude), simulator)
        options = _options(settings, fetch_media, shelf, holders)
        live = LiveCatalog(catalog, None if settings.models else claude.models, serves_of(claude))
        app = _app(options, operations, settings, live, engine, embedder)

        async def drain(grace: float) -> None:
            await asyncio.gather(engine.aclose(grace), embedder.aclose(grace))
            if shelf:
                await shelf.jobs.aclose()

        yield Gateway(app, claude, drain, simulator)


async def _simulator(stack: AsyncExitStack) -> str:
    from dragoman.simulator.server import Simulator  # noqa: PLC0415 - seldom wanted, and the start should be quick

    return (await stack.enter_async_context(Simulator(keep=_REMEMBERED))).url


def _keep(stack: AsyncExitStack, settings: Settings) -> KeyValueStore | None:
    keep = build_key_value_store(settings)
    if keep is not None:
        stack.push_async_callback(keep.aclose)
    return keep


def _claude(
    stack: AsyncExitStack, settings: Settings, simulator: str | None, keep: KeyValueStore | None
) -> Backend | Dispatcher:
    if not settings.upstreams:
        return build_backend(settings, simulator)
    name = "simulated-budgets.db" if simulator else "budgets.db"
    ledger = SQLiteSpendingLedger(settings.state_dir.expanduser() / name)
    stack.push_async_callback(ledger.aclose)
    return build_router(settings, simulator, keep, ledger)


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_concurrency=settings.max_concurrency,
        max_queue_size=settings.max_queue_size,
        run_timeout=settings.run_timeout,
        requests_per_minute=settings.requests_per_minute,
    )


def _app(
    options: ServerOptions,
    operations: Operations,
    settings: Settings,
    live: LiveCatalog,
    engine: Engine,
    embedder: Embedder,
) -> ASGIApp:
    choices = DialectOptions(
        strict_parameters=settings.strict_parameters,
        strict_mapping=settings.strict_mapping,
        stores_responses=settings.store,
        cipher=build_cipher(settings),
    )
    dialects = Dialects(
        ChatDialect(live, choices),
        CompletionsDialect(live, choices),
        ResponsesDialect(live, choices),
        InputTokensDialect(live, choices),
        CompactDialect(live, choices),
        MessagesDialect(live),
    )
    embed = EmbeddingsHandler(
        EmbeddingsDialect(embedder.model, settings.model_aliases, choices), embedder, engine, options
    )
    return build_app(dialects, engine, live, embed, operations, options)


def _options(
    settings: Settings, fetch_media: FetchMedia, shelf: StoredResponseService | None, holders: tuple[ApiKey, ...]
) -> ServerOptions:
    traced = settings.trace_file is not None
    return ServerOptions(
        host=settings.host,
        holders=holders,
        allow_hosts=settings.allow_host,
        allow_origins=settings.allow_origin,
        open_models=settings.open_models,
        max_request_bytes=settings.max_request_bytes,
        heartbeat=settings.heartbeat,
        payloads=settings.log_level in {"debug", "trace"} or traced,
        trace=settings.log_level == "trace" or traced,
        agents=settings.agents,
        fetch_media=fetch_media,
        shelf=shelf,
    )
