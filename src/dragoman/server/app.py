"""Assembles the server: handlers for the route table, and the middleware in front of them."""

from collections.abc import Awaitable
from typing import cast

import msgspec
from starlette.exceptions import HTTPException
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from dragoman.core.errors import GatewayError
from dragoman.core.value_object import value_object
from dragoman.dialects.base import ErrorResponse
from dragoman.dialects.chat.dialect import ChatDialect
from dragoman.dialects.chat.request import ChatRequest
from dragoman.dialects.completions.dialect import CompletionsDialect
from dragoman.dialects.messages.dialect import MessagesDialect
from dragoman.dialects.responses.dialect import CompactDialect, InputTokensDialect, ResponsesDialect
from dragoman.dialects.responses.request import ResponsesRequest
from dragoman.runs.engine import Engine
from dragoman.server.admin.access import AccessEndpoints
from dragoman.server.admin.endpoints import AdminEndpoints, encode_admin_error
from dragoman.server.admin.nodes import NodeEndpoints
from dragoman.server.admin.routes import ADMIN_PREFIX
from dragoman.server.auth import KeyCheck
from dragoman.server.catalog import LiveCatalog
from dragoman.server.context import RequestContext
from dragoman.server.count_tokens import CountTokensHandler
from dragoman.server.dashboard.page import Dashboard
from dragoman.server.dashboard.session import SessionCheck, Sessions
from dragoman.server.docs.endpoints import Docs
from dragoman.server.docs.swagger import swagger_directory
from dragoman.server.embeddings import EmbeddingsHandler
from dragoman.server.endpoint import FunctionEndpoint, Handler
from dragoman.server.generate import GenerateHandler, RequestReader
from dragoman.server.health import Health
from dragoman.server.idempotency import IdempotentRoutes
from dragoman.server.metrics import Metrics
from dragoman.server.middleware import (
    HostCheck,
    Middleware,
    OriginCheck,
    RequestCheck,
    add_anthropic_request_id,
    log_access,
    speaks_anthropic,
)
from dragoman.server.models import Models
from dragoman.server.options import Operations, ServerOptions
from dragoman.server.paths import has_control_character
from dragoman.server.peer_routes import PeerRoutes, connect_peers
from dragoman.server.route_spec import Handlers
from dragoman.server.routes import DASHBOARD_PATH, MODEL_LIST_PATHS, PUBLIC_PATHS, ROUTES
from dragoman.server.stored.conversation_loader import ConversationLoader
from dragoman.server.stored.endpoints import StoredChatEndpoints, StoredResponseEndpoints
from dragoman.server.stored.execution import ResponseStorage


@value_object
class Dialects:
    """The dialects of the generating endpoints.

    Attributes:
        chat: `/v1/chat/completions`. Errors that belong to no dialect use this one.
        completions: `/v1/completions`.
        responses: `/v1/responses`.
        input_tokens: `/v1/responses/input_tokens`.
        compact: `/v1/responses/compact`.
        messages: `/v1/messages`. Errors for clients of Anthropic's API use this one.
    """

    chat: ChatDialect
    completions: CompletionsDialect
    responses: ResponsesDialect
    input_tokens: InputTokensDialect
    compact: CompactDialect
    messages: MessagesDialect


def build_app(
    dialects: Dialects,
    engine: Engine,
    catalog: LiveCatalog,
    embeddings: EmbeddingsHandler,
    operations: Operations,
    options: ServerOptions,
) -> ASGIApp:
    """Build the ASGI application. It owns nothing that has to be closed."""
    metrics = Metrics(engine, operations)
    if options.stored_responses:
        options.stored_responses.jobs.on_detached_end(metrics.count_runs)
    if options.cache:
        metrics.add_cache(options.cache)
    sessions = Sessions(options.cookies)
    dashboard = Dashboard(sessions)
    routes = _Routes(_handlers(dialects, engine, catalog, embeddings, operations, options, metrics, dashboard))

    def count(context: RequestContext) -> None:
        metrics.observe(context, routes.label(context))

    def encode_error(error: GatewayError, context: RequestContext) -> ErrorResponse:
        if context.path.startswith((ADMIN_PREFIX, DASHBOARD_PATH)):
            return encode_admin_error(error)
        return (dialects.messages if speaks_anthropic(context) else dialects.chat).encode_error(error)

    app: ASGIApp = IdempotentRoutes(routes, options, metrics.count_runs, routes.endpoint_of)
    if operations.peers is not None:
        # The worker that passes a request on logs and counts it.
        operations.peers.serve(Middleware(app, _checks(options, sessions), (), encode_error, engine.registry.redactor))
        sessions.share(operations.peers)
        app = PeerRoutes(app, operations.peers, connect_peers(operations.peers, engine, options))
    if options.turns is not None:

        def count_forwarded(context: RequestContext) -> None:
            metrics.count_runs(context.runs)

        checks = _checks(options, sessions)
        options.turns.serve(
            Middleware(routes, checks, (count_forwarded,), encode_error, engine.registry.redactor, engine.deferred)
        )
    observers = (log_access, count)
    redactor = engine.registry.redactor
    return Middleware(app, _checks(options, sessions), observers, encode_error, redactor, engine.deferred)


def _handlers(  # noqa: PLR0913, PLR0917 - one for each part of the server
    dialects: Dialects,
    engine: Engine,
    catalog: LiveCatalog,
    embeddings: EmbeddingsHandler,
    operations: Operations,
    options: ServerOptions,
    metrics: Metrics,
    dashboard: Dashboard,
) -> Handlers:
    chat, responses, compact, messages = dialects.chat, dialects.responses, dialects.compact, dialects.messages
    service = options.stored_responses
    stored_chats = StoredChatEndpoints(chat.stored_format, service)
    stored_responses = StoredResponseEndpoints(responses.stored_format, service, options.heartbeat)
    health, models, docs = Health(engine, operations), Models(catalog), Docs(swagger_directory())
    admin, nodes = AdminEndpoints(engine, operations, options.heartbeat), NodeEndpoints(engine, operations)
    taken = frozenset(key.name for key in options.api_keys)
    access = AccessEndpoints(options.book, engine.meter, taken, options.zone)
    loader, count_loader, compact_loader = (
        ConversationLoader(service, dialect, options.bodies) for dialect in (responses, dialects.input_tokens, compact)
    )

    def stored(handler: Handler) -> ASGIApp:
        return FunctionEndpoint(handler, chat.encode_error)

    chat_reader = RequestReader(chat, catalog, options)
    response_reader = RequestReader(responses, catalog, options, loader.prepare)
    compact_reader = RequestReader(compact, catalog, options, compact_loader.prepare)
    generate = GenerateHandler(
        responses, engine, response_reader, options, ResponseStorage[ResponsesRequest](service, responses)
    )
    if service:
        service.jobs.generate = generate.handle
    return Handlers(
        chat=GenerateHandler(chat, engine, chat_reader, options, ResponseStorage[ChatRequest](service, chat)),
        completions=GenerateHandler(
            dialects.completions, engine, RequestReader(dialects.completions, catalog, options), options
        ),
        responses=generate,
        input_tokens=CountTokensHandler(
            engine,
            RequestReader(dialects.input_tokens, catalog, options, count_loader.prepare),
            options,
            lambda counted: dialects.input_tokens.encode_count(counted.get("input_tokens")),
            responses.encode_error,
        ),
        compact=GenerateHandler(compact, engine, compact_reader, options),
        embeddings=embeddings,
        messages=GenerateHandler(messages, engine, RequestReader(messages, catalog, options), options),
        count_tokens=CountTokensHandler(
            engine, RequestReader(messages, catalog, options), options, msgspec.json.encode, messages.encode_error
        ),
        chat_list=stored(stored_chats.list),
        chat_get=stored(stored_chats.get),
        chat_update=stored(stored_chats.update),
        chat_delete=stored(stored_chats.delete),
        chat_messages=stored(stored_chats.messages),
        response_get=stored(stored_responses.get),
        response_delete=stored(stored_responses.delete),
        response_cancel=stored(stored_responses.cancel),
        response_items=stored(stored_responses.items),
        models=models.list,
        model=models.get,
        index=health.index,
        health=health.alive,
        ready=health.ready,
        metrics=metrics.respond,
        docs=docs.page,
        docs_reading=docs.reading_page,
        docs_file=docs.file,
        openapi=docs.openapi,
        admin_status=admin.status,
        admin_runs=admin.runs,
        admin_run=admin.run,
        admin_events=admin.events,
        admin_cancel=admin.cancel,
        admin_keys=access.keys,
        admin_create_key=access.create_key,
        admin_key=access.key,
        admin_update_key=access.update_key,
        admin_rotate_key=access.rotate_key,
        admin_revoke_key=access.revoke_key,
        admin_teams=access.teams,
        admin_create_team=access.create_team,
        admin_team=access.team,
        admin_update_team=access.update_team,
        admin_delete_team=access.delete_team,
        admin_audit=access.audit,
        admin_limits=access.limits,
        admin_usage=access.usage,
        own_usage=access.own_usage,
        admin_live=admin.live,
        admin_settings=admin.settings,
        admin_nodes=nodes.nodes,
        admin_plan=nodes.plan,
        dashboard=dashboard.page,
        dashboard_file=dashboard.module,
        sign_in=dashboard.sign_in,
        sign_out=dashboard.sign_out,
    )


def _checks(options: ServerOptions, sessions: Sessions) -> list[RequestCheck]:
    """Return the checks in their order: an origin is compared with a `Host` that has been checked."""
    public_paths = PUBLIC_PATHS | MODEL_LIST_PATHS if options.open_models else PUBLIC_PATHS
    return [
        add_anthropic_request_id,
        HostCheck(options.host, options.allow_hosts),
        OriginCheck(options.allow_origins, PUBLIC_PATHS),
        SessionCheck(sessions),
        KeyCheck(options.api_keys, public_paths, ADMIN_PREFIX, agents=options.agents, book=options.book),
    ]


class _Routes:
    """The routed application. Starlette's router raises its 404 and 405 for the middleware to answer.

    Generating endpoints are found by their path at once; all others by the router.
    """

    def __init__(self, handlers: Handlers) -> None:
        routes: list[Route] = []
        self._hot: dict[str, ASGIApp] = {}
        self._labels: dict[object, str] = {}
        for spec in ROUTES:
            handler = spec.handler(handlers)
            routes += [Route(path, handler, methods=[spec.method]) for path in spec.paths]
            if spec.hot:
                self._hot |= {path: cast("ASGIApp", handler) for path in spec.paths}
            self._labels.setdefault(handler, spec.canonical_path.replace(":path", ""))
        self._router = Router(routes, redirect_slashes=False)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request."""
        scope["app"] = self
        handler = self._hot.get(scope["path"]) if scope["method"] == "POST" else None
        if handler is None:
            if has_control_character(scope["path"]):
                raise HTTPException(404)
            return self._router(scope, receive, send)
        scope["endpoint"] = handler
        return handler(scope, receive, send)

    def endpoint_of(self, path: str) -> object:
        """Return the generating endpoint of a path, if it has one."""
        return self._hot.get(path)

    def label(self, context: RequestContext) -> str | None:
        """Return the path of the route that took a request, for metrics; None when no route did."""
        return self._labels.get(context.scope.get("endpoint"))
