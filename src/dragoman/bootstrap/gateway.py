"""Putting a gateway together."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from starlette.types import ASGIApp

from dragoman.backends.base import Backend, Embedder, Operated
from dragoman.bootstrap.agents import check_agents
from dragoman.bootstrap.backends import backend_for
from dragoman.bootstrap.embedders import embedder_for
from dragoman.bootstrap.exposure import check_exposure
from dragoman.bootstrap.holders import holders_of
from dragoman.bootstrap.inquiry import inquiry_of
from dragoman.bootstrap.journal import journal_for
from dragoman.bootstrap.media import fill_media_for
from dragoman.bootstrap.models import catalog_of
from dragoman.bootstrap.stores import shelf_for, vault_for
from dragoman.bootstrap.thinking import account_of, keep_for
from dragoman.bootstrap.upstreams import router_for, serves_of
from dragoman.fetch import FillMedia
from dragoman.runs import Engine, Limits
from dragoman.runs.account import Asks
from dragoman.runs.thinking import Thinking
from dragoman.server import Dialects, Embed, Holder, LiveCatalog, Operations, Options, Shelf, build_app
from dragoman.settings import Settings, with_secrets
from dragoman.stores.base import Keep
from dragoman.stores.sqlite import SQLiteLedger
from dragoman.wire.anthropic_messages import AnthropicMessages
from dragoman.wire.openai_chat import OpenAIChat
from dragoman.wire.openai_completions import OpenAICompletions
from dragoman.wire.openai_embeddings import OpenAIEmbeddings
from dragoman.wire.openai_responses import Compacted, Counted, OpenAIResponses
from dragoman.wire.options import WireOptions

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
    backend: Operated
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
    settings = with_secrets(settings)
    check_exposure(settings)
    check_agents(settings)
    catalog, holders = catalog_of(settings), holders_of(settings)
    async with AsyncExitStack() as stack:
        fill_media = fill_media_for(settings, stack)
        simulator = await _simulator(stack) if settings.simulate else None
        keep = _keep(stack, settings)
        claude = backend or _claude(stack, settings, simulator, keep)
        stack.push_async_callback(claude.aclose)
        await claude.start()
        thinking = Thinking(keep, account_of(settings)) if keep else None
        journal = journal_for(settings)
        stack.push_async_callback(journal.aclose)
        engine = Engine(claude, _limits(settings), thinking, journal)
        shelf = shelf_for(settings, stack)
        # Pushed after the shelf: the runs end before those who keep what they answered.
        stack.push_async_callback(engine.aclose, 0)
        embedder = embedder or embedder_for(settings)
        stack.push_async_callback(embedder.aclose)
        operations = Operations(claude.name, claude.ready, claude.status, inquiry_of(claude), simulator)
        options = _options(settings, fill_media, shelf, holders)
        live = LiveCatalog(catalog, None if settings.models else claude.models, serves_of(claude))
        app = _app(options, operations, settings, live, engine, embedder)

        async def drain(grace: float) -> None:
            await asyncio.gather(engine.aclose(grace), embedder.aclose(grace))
            if shelf:
                await shelf.jobs.aclose()

        yield Gateway(app, claude, drain, simulator)


async def _simulator(stack: AsyncExitStack) -> str:
    from dragoman.simulator import Simulator  # noqa: PLC0415 - seldom wanted, and the start should be quick

    return (await stack.enter_async_context(Simulator(keep=_REMEMBERED))).url


def _keep(stack: AsyncExitStack, settings: Settings) -> Keep | None:
    keep = keep_for(settings)
    if keep is not None:
        stack.push_async_callback(keep.aclose)
    return keep


def _claude(stack: AsyncExitStack, settings: Settings, simulator: str | None, keep: Keep | None) -> Backend | Asks:
    if not settings.upstreams:
        return backend_for(settings, simulator)
    name = "simulated-budgets.db" if simulator else "budgets.db"
    ledger = SQLiteLedger(settings.state_dir.expanduser() / name)
    stack.push_async_callback(ledger.aclose)
    return router_for(settings, simulator, keep, ledger)


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_concurrency=settings.max_concurrency,
        max_queue_size=settings.max_queue_size,
        run_timeout=settings.run_timeout,
        requests_per_minute=settings.requests_per_minute,
    )


def _app(
    options: Options, operations: Operations, settings: Settings, live: LiveCatalog, engine: Engine, embedder: Embedder
) -> ASGIApp:
    choices = WireOptions(
        strict_parameters=settings.strict_parameters,
        strict_mapping=settings.strict_mapping,
        keeps=settings.store,
        vault=vault_for(settings),
    )
    dialects = Dialects(
        OpenAIChat(live, choices),
        OpenAICompletions(live, choices),
        OpenAIResponses(live, choices),
        Counted(live, choices),
        Compacted(live, choices),
        AnthropicMessages(live),
    )
    embed = Embed(OpenAIEmbeddings(embedder.model, settings.model_aliases, choices), embedder, engine, options)
    return build_app(dialects, engine, live, embed, operations, options)


def _options(settings: Settings, fill_media: FillMedia, shelf: Shelf | None, holders: tuple[Holder, ...]) -> Options:
    traced = settings.trace_file is not None
    return Options(
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
        fill_media=fill_media,
        shelf=shelf,
    )
