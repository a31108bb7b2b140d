"""The routes, and the door before them."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from dragoman.errors import GatewayError
from dragoman.runs import Engine
from dragoman.server.access_log import log_exchange
from dragoman.server.anthropic import name_request, speaks_anthropic
from dragoman.server.auth import OPEN_PATHS, KeyGate
from dragoman.server.catalog import LiveCatalog
from dragoman.server.chat import Complete
from dragoman.server.counting import CountTokens
from dragoman.server.docs import Docs
from dragoman.server.embeddings import Embed
from dragoman.server.exchange import Exchange
from dragoman.server.front import Front, Gate
from dragoman.server.health import Health
from dragoman.server.hosts import HostGate
from dragoman.server.metrics import Metrics
from dragoman.server.models import Models
from dragoman.server.options import Operations, Options
from dragoman.server.origins import OriginGate
from dragoman.wire.base import Codec, ErrorReply

_MODELS = frozenset({"/v1/models", "/models"})


@dataclass(frozen=True, slots=True)
class Dialects:
    """The ways in which questions are asked.

    Attributes:
        chat: `/v1/chat/completions`; errors that belong to no dialect are said in this one.
        completions: `/v1/completions`.
        responses: `/v1/responses`.
        messages: `/v1/messages`; errors are said in this one to whoever speaks Anthropic's API.
    """

    chat: Codec
    completions: Codec
    responses: Codec
    messages: Codec


def build_app(
    dialects: Dialects, engine: Engine, catalog: LiveCatalog, embed: Embed, operations: Operations, options: Options
) -> ASGIApp:
    """Put the server together. It owns nothing that needs closing."""

    def endpoint(codec: Codec) -> Complete:
        return Complete(codec, engine, catalog, options)

    metrics = Metrics(engine, operations)
    questions: dict[str, ASGIApp] = {
        "/chat/completions": endpoint(dialects.chat),
        "/completions": endpoint(dialects.completions),
        "/responses": endpoint(dialects.responses),
        "/embeddings": embed,
        "/messages": endpoint(dialects.messages),
        "/messages/count_tokens": CountTokens(dialects.messages, engine, catalog, options),
    }
    routes = [*_api(questions, Models(catalog)), *_pages(Health(engine, operations), metrics, Docs())]
    paths = {route.endpoint: route.path_format for route in reversed(routes)}

    def count(exchange: Exchange) -> None:
        metrics.observe(exchange, paths.get(exchange.scope["endpoint"]) if "endpoint" in exchange.scope else None)

    def encode_error(error: GatewayError, exchange: Exchange) -> ErrorReply:
        return (dialects.messages if speaks_anthropic(exchange) else dialects.chat).encode_error(error)

    return Front(_App(routes), _gates(options), (log_exchange, count), encode_error)


def _api(questions: Mapping[str, ASGIApp], models: Models) -> list[Route]:
    """Every one stands with and without `/v1`: people paste base URLs both ways. The busiest first."""
    return [
        route
        for prefix in ("/v1", "")
        for route in (
            *(Route(prefix + path, complete, methods=["POST"]) for path, complete in questions.items()),
            Route(f"{prefix}/models", models.all, methods=["GET"]),
            Route(f"{prefix}/models/{{id:path}}", models.one, methods=["GET"]),
        )
    ]


def _pages(health: Health, metrics: Metrics, docs: Docs) -> list[Route]:
    return [
        Route("/", health.index),
        Route("/health", health.alive),
        Route("/health/ready", health.ready),
        Route("/metrics", metrics.answer),
        Route("/docs", docs.page),
        Route("/redoc", docs.page),
        Route("/openapi.json", docs.openapi),
    ]


def _gates(options: Options) -> list[Gate]:
    """The order matters: an origin is compared with a `Host` that was checked before."""
    open_paths = OPEN_PATHS | _MODELS if options.open_models else OPEN_PATHS
    return [
        name_request,
        HostGate(options.host, options.allow_hosts),
        OriginGate(options.allow_origins),
        KeyGate(options.api_key, open_paths),
    ]


class _App:
    """Starlette's router, which raises its 404 and 405 for an app in the scope and answers them itself without one."""

    def __init__(self, routes: list[Route]) -> None:
        self._router = Router(routes, redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        await self._router(scope, receive, send)
