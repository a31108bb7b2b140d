"""The gateway, put together from settings: `build` reads top-down and owns every part."""

import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from starlette.types import ASGIApp

from dragoman.backends.base import Backend, Embedder, ManagedBackend
from dragoman.config.secrets import resolve_secrets, reveal
from dragoman.config.settings import Settings
from dragoman.config.upstreams import ADMIN, OWNER
from dragoman.core import log
from dragoman.core.errors import GatewayError
from dragoman.core.redaction import Redactor
from dragoman.core.supervise import failures_of
from dragoman.core.value_object import replace, value_object
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
from dragoman.runs.metering import Meter
from dragoman.runs.policy import Clock
from dragoman.runs.reasoning_store import ReasoningStore
from dragoman.runs.response_cache import RunCache
from dragoman.server.access import AccessBook
from dragoman.server.app import Dialects, build_app
from dragoman.server.auth import ApiKey
from dragoman.server.body_budget import BodyBudget
from dragoman.server.catalog import LiveCatalog
from dragoman.server.embeddings import EmbeddingsHandler
from dragoman.server.idempotency import IdempotencyService
from dragoman.server.options import Operations, ServerOptions
from dragoman.server.peers import Peers
from dragoman.server.stored.queued import QueuedResponses
from dragoman.server.stored.service import Jobs, StoredResponseService
from dragoman.stores.base import KeyValueStore, ResponseStoreLimits
from dragoman.stores.crypto import KEY_BYTES, Cipher
from dragoman.stores.ledger import Ledger
from dragoman.stores.outbox import worker_name
from dragoman.stores.response_cache import MemoryResponseCache, ResponseCache
from dragoman.stores.sql.stores import Stores
from dragoman.stores.sqlite.spending import read_spending
from dragoman.wiring.backends import (
    account_fingerprint,
    build_backend,
    build_catalog,
    build_embedder,
    build_router,
    inquiry_of,
    serves_of,
)
from dragoman.wiring.checks import check_settings
from dragoman.wiring.nodes import Neighbours
from dragoman.wiring.shown_settings import shown_settings
from dragoman.wiring.state import access_options, build_run_registry
from dragoman.wiring.stopping import StopStages
from dragoman.wiring.stores import build_limits, build_redis, build_stores, warn_of_another_key

if TYPE_CHECKING:
    from dragoman.runs.traces import Traces
    from dragoman.stores.redis.server import RedisServer

_SIMULATOR_CALLS = 100
"""Requests that the simulator of a gateway remembers: it may run for days."""

_MAX_THINKING_ENTRIES = 20_000


@value_object
class Gateway:
    """A running gateway.

    Attributes:
        app: The ASGI application to serve.
        backend: The backend, or the router over several.
        running: Returns how many runs are running or queued in this process.
        announce_stop: See `dragoman.server.http_server.Stoppable`.
        hand_over: The same.
        drain: The same.
        simulator: The address of the simulator, if one replaces Claude.
        has_keys: Whether `dragoman keys` has created keys.
    """

    app: ASGIApp
    backend: ManagedBackend
    running: Callable[[], int]
    announce_stop: Callable[[], Awaitable[None]]
    hand_over: Callable[[], Awaitable[None]]
    drain: Callable[[float], Awaitable[None]]
    simulator: str | None = None
    has_keys: bool = False


@asynccontextmanager
async def build(
    settings: Settings,
    backend: Backend | None = None,
    embedder: Embedder | None = None,
    *,
    checked: bool = False,
    peers: Peers | None = None,
) -> AsyncIterator[Gateway]:
    """Build a gateway, and close all that it owns on exit, the last part first.

    Args:
        settings: The settings.
        backend: A backend to use instead of the one that the settings name.
        embedder: The same for the embedder.
        checked: Whether the caller has resolved the secrets and called `check_settings`.
        peers: The other workers of this gateway; None: this process is the whole gateway. They are closed with it.

    Raises:
        BadSettings: See `check_settings`. A secret that the settings name is also looked up first.
    """
    if not checked:
        settings = resolve_secrets(settings)
        check_settings(settings, backend=backend is None)
    async with AsyncExitStack() as stack:
        fetch_media = _build_fetch_media(settings, stack)
        simulator = await _start_simulator(stack) if settings.simulate else None
        stores = await _open_stores(settings, stack)
        thinking = _build_thinking_store(settings, stores, stack)
        book = await _build_access_book(settings, stores, stack)
        redis = _open_redis(settings, stack)
        meter = await _build_meter(settings, stores, redis, book, simulator, stack)
        claude = backend or _build_claude(settings, simulator, thinking, meter, book)
        stack.push_async_callback(claude.aclose)
        await claude.start()
        registry = build_run_registry(settings, stores)
        stack.push_async_callback(registry.aclose)
        traces = _build_traces(settings, registry.redactor, stack)
        engine = Engine(
            claude,
            _limits(settings),
            _build_reasoning(settings, thinking),
            registry,
            meter,
            traces.note if traces else None,
        )
        responses = _build_response_service(settings, stores, stack)
        idempotency = _build_idempotency(settings, stores, stack)
        cache = _build_response_cache(settings, stores, redis, stack)
        # After the response store: runs end before the store that records their end is closed.
        stack.push_async_callback(engine.aclose, 0)
        embedder = embedder or build_embedder(settings)
        stack.push_async_callback(embedder.aclose)

        serves = serves_of(claude)

        def may_use(client: str, model: str) -> bool:
            return serves(client, model) and book.may_use_model(client, model)

        catalog = LiveCatalog(build_catalog(settings), None if settings.models else claude.models, may_use)
        choices = DialectOptions(
            strict_parameters=settings.strict_parameters,
            strict_mapping=settings.strict_mapping,
            stores_responses=settings.store,
            cipher=_build_reasoning_cipher(stores),
        )
        dialects = _build_dialects(catalog, choices)
        neighbours = Neighbours(settings, stores, peers, claude, engine)
        stack.push_async_callback(neighbours.aclose)
        served = _server_options(settings, fetch_media, responses, book)
        options = replace(served, idempotency=idempotency, cache=cache, turns=neighbours.turns)
        if peers is not None or stores.node:  # every process must know the cookies of the others
            options = replace(options, cookies=stores.cipher("dashboard"))
        embeddings = EmbeddingsHandler(
            EmbeddingsDialect(embedder.model, settings.model_aliases, choices), embedder, engine, options
        )

        def failures() -> dict[str, str]:
            stored = (responses.jobs if responses else None, idempotency.store if idempotency else None)
            return failures_of(claude, registry, thinking, meter, meter.ledger, book, *stored, traces, neighbours.nodes)

        operations = Operations(
            claude.name,
            lambda: neighbours.stopping or claude.ready(),
            claude.status,
            inquiry_of(claude),
            simulator,
            failures,
            neighbours.peers,
            lambda: shown_settings(settings),
        )
        app = build_app(dialects, engine, catalog, embeddings, operations, options)

        await neighbours.start()
        queued = _take_queued(settings, stores, responses, dialects, engine, stack)

        stages = StopStages(neighbours, queued, engine, embedder, responses, idempotency)
        yield Gateway(
            app,
            claude,
            lambda: engine.running + engine.queued,
            stages.announce_stop,
            stages.hand_over,
            stages.drain,
            simulator,
            book.has_keys,
        )


def _build_dialects(catalog: LiveCatalog, choices: DialectOptions) -> Dialects:
    return Dialects(
        ChatDialect(catalog, choices),
        CompletionsDialect(catalog, choices),
        ResponsesDialect(catalog, choices),
        InputTokensDialect(catalog, choices),
        CompactDialect(catalog, choices),
        MessagesDialect(catalog),
    )


def _build_fetch_media(settings: Settings, stack: AsyncExitStack) -> FetchMedia:
    if settings.fetch_urls == ("off",):
        return leave_urls_to_api
    from dragoman.fetch.fetcher import Fetcher, FetchOptions  # noqa: PLC0415 - only if URLs are fetched
    from dragoman.fetch.rules import Rules  # noqa: PLC0415 - the same

    rules = Rules(None if settings.fetch_urls == ("on",) else settings.fetch_urls)
    fetcher = Fetcher(FetchOptions(rules, settings.fetch_timeout, settings.fetch_max_bytes))
    stack.callback(fetcher.close)
    return fetcher


async def _start_simulator(stack: AsyncExitStack) -> str:
    from dragoman.simulator.server import Simulator  # noqa: PLC0415 - seldom used, and slow to import

    return (await stack.enter_async_context(Simulator(keep=_SIMULATOR_CALLS))).url


async def _open_stores(settings: Settings, stack: AsyncExitStack) -> Stores:
    stores = build_stores(settings)
    stack.push_async_callback(stores.aclose)
    await warn_of_another_key(stores)
    return stores


def _open_redis(settings: Settings, stack: AsyncExitStack) -> "RedisServer | None":
    redis = build_redis(settings, simulated=settings.simulate)
    if redis is not None:
        stack.push_async_callback(redis.aclose)
    return redis


def _build_thinking_store(settings: Settings, stores: Stores, stack: AsyncExitStack) -> KeyValueStore | None:
    if not settings.thinking_ttl:
        return None
    store = stores.key_values(ttl=settings.thinking_ttl, entries=_MAX_THINKING_ENTRIES)
    stack.push_async_callback(store.aclose)
    return store


def _build_reasoning(settings: Settings, thinking: KeyValueStore | None) -> ReasoningStore | None:
    return ReasoningStore(thinking, account_fingerprint(settings)) if thinking else None


def _build_claude(
    settings: Settings, simulator: str | None, thinking: KeyValueStore | None, meter: Meter, book: AccessBook
) -> Backend | Dispatcher:
    if not settings.upstreams:
        return build_backend(settings, simulator)
    return build_router(settings, simulator, thinking, meter, book.upstreams_of)


async def _build_access_book(settings: Settings, stores: Stores, stack: AsyncExitStack) -> AccessBook:
    store = stores.access()
    stack.push_async_callback(store.aclose)
    book = AccessBook(store, access_options(settings))
    stack.push_async_callback(book.aclose)
    await book.start()
    return book


async def _build_meter(
    settings: Settings,
    stores: Stores,
    redis: "RedisServer | None",
    book: AccessBook,
    simulator: str | None,
    stack: AsyncExitStack,
) -> Meter:
    directory = settings.state_dir.expanduser()
    ledger = build_limits(settings, stores, redis, simulated=simulator is not None)
    stack.push_async_callback(ledger.aclose)
    if not simulator:
        await _import_spending(directory / "budgets.db", ledger)
    outboxes = directory / ("simulated-outbox" if simulator else "outbox")
    clock = Clock(stores.ms, stores.clock, ZoneInfo(settings.time_zone))
    worker = worker_name(stores.process)
    meter = Meter(ledger, book, outboxes, clock=clock, worker=worker, lease=stores.lease_ms)
    stack.push_async_callback(meter.aclose)
    await meter.start()
    return meter


async def _import_spending(path: Path, ledger: Ledger) -> None:
    """Add what upstreams have cost by the records of an older version, once."""
    try:
        if rows := read_spending(path):
            await ledger.add(rows)
    except (sqlite3.Error, GatewayError) as error:
        log.warning("budget.unknown", path=str(path), error=str(error))


def _build_traces(settings: Settings, redactor: Redactor, stack: AsyncExitStack) -> "Traces | None":
    if settings.otlp_endpoint is None:
        return None
    from dragoman.runs.traces import TraceOptions, Traces  # noqa: PLC0415 - an extra

    options = TraceOptions(settings.otlp_endpoint, settings.otlp_conventions, settings.otlp_content)
    traces = Traces(options, redactor)
    stack.push_async_callback(traces.aclose)
    traces.start()
    return traces


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_concurrency=settings.max_concurrency,
        max_queue_size=settings.max_queue_size,
        run_timeout=settings.run_timeout,
    )


def _build_response_service(settings: Settings, stores: Stores, stack: AsyncExitStack) -> StoredResponseService | None:
    if not settings.store:
        return None
    limits = ResponseStoreLimits(
        ttl=settings.store_ttl, entries=settings.store_max_entries, size=settings.store_max_bytes
    )
    store = stores.responses(limits)
    stack.push_async_callback(store.aclose)
    jobs = Jobs(store)
    stack.push_async_callback(jobs.aclose)
    return StoredResponseService(store, jobs)


def _take_queued(
    settings: Settings,
    stores: Stores,
    responses: StoredResponseService | None,
    dialects: Dialects,
    engine: Engine,
    stack: AsyncExitStack,
) -> QueuedResponses | None:
    """Begin to generate the responses that other processes leave in their queues."""
    if responses is None:
        return None

    def room() -> int:
        return settings.max_concurrency - engine.running - engine.queued

    queued = QueuedResponses(responses, dialects.responses.stored_format, room, shared=bool(stores.node))
    stack.push_async_callback(queued.aclose)
    queued.start()
    return queued


def _build_idempotency(settings: Settings, stores: Stores, stack: AsyncExitStack) -> IdempotencyService | None:
    if not settings.idempotency_ttl:
        return None
    store = stores.recordings(ttl=settings.idempotency_ttl, size=settings.idempotency_max_bytes)
    stack.push_async_callback(store.aclose)
    service = IdempotencyService(store, stores.process)
    stack.push_async_callback(service.aclose)
    return service


def _build_response_cache(
    settings: Settings, stores: Stores, redis: "RedisServer | None", stack: AsyncExitStack
) -> RunCache | None:
    if not settings.response_cache:
        return None
    store: ResponseCache
    ttl, size = settings.response_cache, settings.response_cache_bytes
    if redis is None:
        store = MemoryResponseCache(ttl=ttl, size=size)
    else:
        from dragoman.stores.redis.response_cache import RedisResponseCache  # noqa: PLC0415 - needs the extra `redis`

        store = RedisResponseCache(redis, stores.cipher("responses of the cache"), ttl=ttl, size=size)
    cache = RunCache(store, shared_by_clients=settings.response_cache_shared)
    stack.push_async_callback(cache.aclose)
    return cache


def _build_reasoning_cipher(stores: Stores) -> ReasoningCipher:
    """Return the cipher of reasoning that clients hold. Its key is stored, so that it survives a restart."""
    try:
        return ReasoningCipher(stores.cipher("carried"))
    except OSError as error:
        log.warning(
            "seal.forgotten", error=str(error), means="reasoning that clients hold cannot be read after a restart"
        )
        return ReasoningCipher(Cipher(os.urandom(KEY_BYTES)))


def client_keys(settings: Settings) -> tuple[ApiKey, ...]:
    """Return the gateway's one key, the admin key and the keys of the clients.

    Without an admin key, the owner of the gateway's one key is the operator.
    """
    own, admin = reveal(settings.api_key), reveal(settings.admin_key)
    operator = [ApiKey(OWNER, own.encode(), settings.agents, operator=not admin)] if own else []
    if admin:
        operator.append(ApiKey(ADMIN, admin.encode(), agents=False, operator=True, admin=True))
    clients = [
        ApiKey(key.name, secret.encode(), settings.agents and key.agents)
        for key in settings.keys
        if (secret := reveal(key.api_key))
    ]
    return (*operator, *clients)


def _server_options(
    settings: Settings, fetch_media: FetchMedia, responses: StoredResponseService | None, book: AccessBook
) -> ServerOptions:
    traced = settings.trace_file is not None
    return ServerOptions(
        host=settings.host,
        api_keys=client_keys(settings),
        allow_hosts=settings.allow_host,
        allow_origins=settings.allow_origin,
        open_models=settings.open_models,
        max_request_bytes=settings.max_request_bytes,
        bodies=BodyBudget(settings.max_body_memory),
        heartbeat=settings.heartbeat,
        log_payloads=settings.log_level in {"debug", "trace"} or traced,
        trace=settings.log_level == "trace" or traced,
        traces=settings.otlp_endpoint is not None,
        warnings_in_text=settings.warnings == "text",
        agents=settings.agents,
        fetch_media=fetch_media,
        stored_responses=responses,
        book=book,
        zone=ZoneInfo(settings.time_zone),
    )
