"""The routes, and the door before them."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from dragoman.errors import GatewayError
from dragoman.runs import Engine
from dragoman.server.access_log import log_exchange
from dragoman.server.admin import ADMIN, admin_routes, encode_admin_error
from dragoman.server.anthropic import name_request, speaks_anthropic
from dragoman.server.catalog import LiveCatalog
from dragoman.server.chat import Complete
from dragoman.server.counting import CountTokens
from dragoman.server.docs import Docs
from dragoman.server.embeddings import Embed
from dragoman.server.exchange import Exchange
from dragoman.server.front import Front, Gate
from dragoman.server.gates import OPEN_PATHS, HostGate, KeyGate, OriginGate
from dragoman.server.health import Health
from dragoman.server.keeping.chats import Chats
from dragoman.server.keeping.keep import KeepingComplete
from dragoman.server.keeping.recall import CountInput, Respond
from dragoman.server.keeping.responses import Responses
from dragoman.server.keeping.routes import kept_routes
from dragoman.server.metrics import Metrics
from dragoman.server.models import Models
from dragoman.server.options import Operations, Options
from dragoman.wire.base import Codec, ErrorReply
from dragoman.wire.openai_chat import OpenAIChat
from dragoman.wire.openai_responses import Compacted, Counted, OpenAIResponses

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

    chat: OpenAIChat
    completions: Codec
    responses: OpenAIResponses
    counted: Counted
    compacted: Compacted
    messages: Codec


def build_app(
    dialects: Dialects, engine: Engine, catalog: LiveCatalog, embed: Embed, operations: Operations, options: Options
) -> ASGIApp:
    """Put the server together. It owns nothing that needs closing."""
    metrics = Metrics(engine, operations)
    if shelf := options.shelf:
        shelf.jobs.counted_by(metrics.count)
    questions: dict[str, ASGIApp] = {
        "/chat/completions": KeepingComplete(dialects.chat, engine, catalog, options),
        "/completions": Complete(dialects.completions, engine, catalog, options),
        "/responses": Respond(dialects.responses, engine, catalog, options),
        "/responses/input_tokens": CountInput(dialects.counted, engine, catalog, options),
        "/responses/compact": Respond(dialects.compacted, engine, catalog, options),
        "/embeddings": embed,
        "/messages": Complete(dialects.messages, engine, catalog, options),
        "/messages/count_tokens": CountTokens(dialects.messages, engine, catalog, options),
    }
    kept = kept_routes(
        Chats(dialects.chat.documents, shelf),
        Responses(dialects.responses.documents, shelf, options.heartbeat),
        dialects.chat.encode_error,
    )
    routes = [
        *_api(questions, Models(catalog)),
        *kept,
        *_pages(Health(engine, operations), metrics, Docs()),
        *admin_routes(engine, operations, options.heartbeat),
    ]
    paths = {route.endpoint: route.path_format for route in reversed(routes)}

    def count(exchange: Exchange) -> None:
        metrics.observe(exchange, paths.get(exchange.scope["endpoint"]) if "endpoint" in exchange.scope else None)

    def encode_error(error: GatewayError, exchange: Exchange) -> ErrorReply:
        if exchange.path.startswith(ADMIN):
            return encode_admin_error(error)
        return (dialects.messages if speaks_anthropic(exchange) else dialects.chat).encode_error(error)

    return Front(_App(routes, questions), _gates(options), (log_exchange, count), encode_error)


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


def _gates(options: Options) -> list[Gate]:
    """The order matters: an origin is compared with a `Host` that was checked before."""
    open_paths = OPEN_PATHS | _MODELS if options.open_models else OPEN_PATHS
    return [
        name_request,
        HostGate(options.host, options.allow_hosts),
        OriginGate(options.allow_origins),
        KeyGate(options.holders, open_paths, ADMIN, agents=options.agents),
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
