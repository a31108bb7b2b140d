"""The routes, and the door before them."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from dragoman.core.errors import GatewayError
from dragoman.dialects.base import ErrorResponse
from dragoman.dialects.chat.dialect import ChatDialect
from dragoman.dialects.completions.dialect import CompletionsDialect
from dragoman.dialects.messages.dialect import MessagesDialect
from dragoman.dialects.responses.dialect import CompactDialect, InputTokensDialect, ResponsesDialect
from dragoman.runs.engine import Engine
from dragoman.server.admin.endpoints import ADMIN, admin_routes, encode_admin_error
from dragoman.server.auth import OPEN_PATHS, KeyCheck
from dragoman.server.catalog import LiveCatalog
from dragoman.server.context import RequestContext
from dragoman.server.docs.endpoints import Docs
from dragoman.server.embeddings import EmbeddingsHandler
from dragoman.server.generate import CountTokens, GenerateHandler
from dragoman.server.health import Health
from dragoman.server.metrics import Metrics
from dragoman.server.middleware import (
    HostCheck,
    Middleware,
    OriginCheck,
    RequestCheck,
    log_access,
    name_request,
    speaks_anthropic,
)
from dragoman.server.models import Models
from dragoman.server.options import Operations, ServerOptions
from dragoman.server.responses.endpoints import StoredChatEndpoints, StoredResponseEndpoints, stored_routes
from dragoman.server.responses.generate import InputTokensHandler, ResponsesHandler, StoringHandler

_MODELS = frozenset({"/v1/models", "/models"})
_PREFIXES = ("/v1", "")
"""Everything stands with and without `/v1`: people paste base URLs both ways."""


@dataclass(frozen=True, slots=True)
class Dialects:
    """The ways in which questions are asked.

    Attributes:
        chat: `/v1/chat/completions`; errors that belong to no dialect are said in this one.
        completions: `/v1/completions`.
        responses: `/v1/responses`.
        counted: `/v1/responses/input_tokens`.
        compacted: `/v1/responses/compact`.
        messages: `/v1/messages`; errors are said in this one to whoever speaks Anthropic's API.
    """

    chat: ChatDialect
    completions: CompletionsDialect
    responses: ResponsesDialect
    counted: InputTokensDialect
    compacted: CompactDialect
    messages: MessagesDialect


def build_app(
    dialects: Dialects,
    engine: Engine,
    catalog: LiveCatalog,
    embed: EmbeddingsHandler,
    operations: Operations,
    options: ServerOptions,
) -> ASGIApp:
    """Put the server together. It owns nothing that needs closing."""
    metrics = Metrics(engine, operations)
    if shelf := options.shelf:
        shelf.jobs.counted_by(metrics.count)
    questions: dict[str, ASGIApp] = {
        "/chat/completions": StoringHandler(dialects.chat, engine, catalog, options),
        "/completions": GenerateHandler(dialects.completions, engine, catalog, options),
        "/responses": ResponsesHandler(dialects.responses, engine, catalog, options),
        "/responses/input_tokens": InputTokensHandler(dialects.counted, engine, catalog, options),
        "/responses/compact": ResponsesHandler(dialects.compacted, engine, catalog, options),
        "/embeddings": embed,
        "/messages": GenerateHandler(dialects.messages, engine, catalog, options),
        "/messages/count_tokens": CountTokens(dialects.messages, engine, catalog, options),
    }
    kept = stored_routes(
        StoredChatEndpoints(dialects.chat.stored_format, shelf),
        StoredResponseEndpoints(dialects.responses.stored_format, shelf, options.heartbeat),
        dialects.chat.encode_error,
    )
    routes = [
        *_api(questions, Models(catalog)),
        *kept,
        *_pages(Health(engine, operations), metrics, Docs()),
        *admin_routes(engine, operations, options.heartbeat),
    ]
    paths = {route.endpoint: route.path_format for route in reversed(routes)}

    def count(context: RequestContext) -> None:
        metrics.observe(context, paths.get(context.scope["endpoint"]) if "endpoint" in context.scope else None)

    def encode_error(error: GatewayError, context: RequestContext) -> ErrorResponse:
        if context.path.startswith(ADMIN):
            return encode_admin_error(error)
        return (dialects.messages if speaks_anthropic(context) else dialects.chat).encode_error(error)

    return Middleware(_App(routes, questions), _gates(options), (log_access, count), encode_error)


def _api(questions: Mapping[str, ASGIApp], models: Models) -> list[Route]:
    return [
        route
        for prefix in _PREFIXES
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


def _gates(options: ServerOptions) -> list[RequestCheck]:
    """The order matters: an origin is compared with a `Host` that was checked before."""
    open_paths = OPEN_PATHS | _MODELS if options.open_models else OPEN_PATHS
    return [
        name_request,
        HostCheck(options.host, options.allow_hosts),
        OriginCheck(options.allow_origins),
        KeyCheck(options.holders, open_paths, ADMIN, agents=options.agents),
    ]


class _App:
    """Starlette's router, which raises its 404 and 405 for an app in the scope and answers them itself without one.

    What most requests are for is found at once instead, by its path, and not route by route.
    """

    def __init__(self, routes: list[Route], questions: Mapping[str, ASGIApp]) -> None:
        self._router = Router(routes, redirect_slashes=False)
        self._questions = {prefix + path: answer for prefix in _PREFIXES for path, answer in questions.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        answer = self._questions.get(scope["path"]) if scope["method"] == "POST" else None
        if answer is None:
            await self._router(scope, receive, send)
        else:
            scope["endpoint"] = answer
            await answer(scope, receive, send)
