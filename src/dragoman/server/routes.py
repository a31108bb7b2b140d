"""The route table: every path of the gateway, once. Router, OpenAPI document, index and public paths come from it."""

from collections.abc import Callable

from starlette.types import ASGIApp

from dragoman.core.messages import JSON
from dragoman.dialects.chat.schema import ChatCompletionRequest
from dragoman.dialects.completions.schema import TextCompletionRequest
from dragoman.dialects.embeddings.schema import EmbeddingCreateRequest
from dragoman.dialects.responses.schema import CreateResponse
from dragoman.server.admin.routes import ADMIN_ROUTES
from dragoman.server.docs import access_schemas, schemas
from dragoman.server.docs.swagger import STARTERS, SWAGGER_FILES
from dragoman.server.route_spec import Handlers, Operation, PageFunction, Parameter, RouteSpec

DASHBOARD_PATH = "/dashboard"
DASHBOARD_MODULES = (
    "lib.js",
    "charts.js",
    "now.js",
    "run.js",
    "usage.js",
    "cache.js",
    "playground.js",
    "keys.js",
    "settings.js",
    "plan.js",
    "nodes.js",
)
"""The modules that the dashboard's page loads."""

SESSION_PATH = f"{DASHBOARD_PATH}/session"

MESSAGES_DOCS = "https://platform.claude.com/docs/en/api/messages"

_USER_MESSAGE: JSON = [{"role": "user", "content": "Reply with exactly: PONG"}]
_ALL_ERRORS = ("400", "401", "403", "404", "413", "429", "500", "502", "503", "504")
_KEY_ERRORS = ("401", "403")
_LOOKUP_ERRORS = ("400", *_KEY_ERRORS, "404", "500", "503")
_INCLUDE = Parameter(
    "include",
    "What to show in addition, such as `reasoning.encrypted_content`.",
    {"type": "array", "items": {"type": "string"}},
)
_PAGING = (
    Parameter("after", "The id after which the page starts."),
    Parameter(
        "limit", "The maximum number of entries.", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
    ),
    Parameter("order", "Oldest first, or newest first.", {"enum": ["asc", "desc"]}),
)


def _generate(path: str, handler: Callable[[Handlers], ASGIApp], operation: Operation) -> RouteSpec:
    return RouteSpec(method="POST", path=path, handler=handler, operation=operation, versioned=True, hot=True)


def _stored(method: str, path: str, handler: Callable[[Handlers], ASGIApp], operation: Operation) -> RouteSpec:
    return RouteSpec(method=method, path=path, handler=handler, operation=operation, versioned=True)


def _page(path: str, handler: Callable[[Handlers], PageFunction], operation: Operation | None = None) -> RouteSpec:
    return RouteSpec(method="GET", path=path, handler=handler, operation=operation, public=True)


ROUTES: tuple[RouteSpec, ...] = (
    _generate(
        "/chat/completions",
        lambda to: to.chat,
        Operation(
            summary="Create a chat completion.",
            request=ChatCompletionRequest,
            response=schemas.ChatCompletion,
            events=schemas.ChatCompletionChunk,
            errors=_ALL_ERRORS,
            example={"model": "sonnet", "messages": _USER_MESSAGE, "stream": True},
        ),
    ),
    _stored(
        "GET",
        "/chat/completions",
        lambda to: to.chat_list,
        Operation(
            summary="List the completions that were requested with `store`.",
            response=schemas.List,
            parameters=(
                Parameter("model", "Only completions of this model."),
                Parameter(
                    "metadata",
                    "Only completions with this metadata, as `metadata[key]=value`.",
                    {"type": "object", "additionalProperties": {"type": "string"}},
                ),
                *_PAGING,
            ),
            errors=_LOOKUP_ERRORS,
        ),
    ),
    _stored(
        "GET",
        "/chat/completions/{id}",
        lambda to: to.chat_get,
        Operation(summary="Return a stored completion.", response=schemas.ChatCompletion, errors=_LOOKUP_ERRORS),
    ),
    _stored(
        "POST",
        "/chat/completions/{id}",
        lambda to: to.chat_update,
        Operation(
            summary="Replace the metadata of a stored completion.",
            request=schemas.CompletionMetadata,
            response=schemas.ChatCompletion,
            errors=_LOOKUP_ERRORS,
        ),
    ),
    _stored(
        "DELETE",
        "/chat/completions/{id}",
        lambda to: to.chat_delete,
        Operation(summary="Delete a stored completion.", response=schemas.Deleted, errors=_LOOKUP_ERRORS),
    ),
    _stored(
        "GET",
        "/chat/completions/{id}/messages",
        lambda to: to.chat_messages,
        Operation(
            summary="List the messages that a stored completion answers.",
            response=schemas.List,
            parameters=_PAGING,
            errors=_LOOKUP_ERRORS,
        ),
    ),
    _generate(
        "/completions",
        lambda to: to.completions,
        Operation(
            summary="Continue a text.",
            request=TextCompletionRequest,
            response=schemas.TextCompletion,
            events=schemas.TextCompletion,
            errors=_ALL_ERRORS,
            example={"model": "sonnet", "prompt": "Count to 5", "max_tokens": 100},
        ),
    ),
    _generate(
        "/responses",
        lambda to: to.responses,
        Operation(
            summary="Create a response.",
            request=CreateResponse,
            response=schemas.Response,
            events=schemas.ResponseStreamEvent,
            errors=_ALL_ERRORS,
            example={"model": "sonnet", "input": "Reply with exactly: PONG"},
        ),
    ),
    _generate(
        "/responses/input_tokens",
        lambda to: to.input_tokens,
        Operation(
            summary="Count the input tokens of a request.",
            request=CreateResponse,
            response=schemas.InputTokens,
            errors=_ALL_ERRORS,
        ),
    ),
    _generate(
        "/responses/compact",
        lambda to: to.compact,
        Operation(
            summary="Compact a conversation.",
            request=CreateResponse,
            response=schemas.Compaction,
            errors=_ALL_ERRORS,
        ),
    ),
    _stored(
        "GET",
        "/responses/{id}",
        lambda to: to.response_get,
        Operation(
            summary="Return a stored response as it is now, or its events.",
            response=schemas.Response,
            parameters=(
                _INCLUDE,
                Parameter(
                    "stream",
                    "Return the events. For responses requested with `background` and `stream`.",
                    {"type": "boolean"},
                ),
                Parameter(
                    "starting_after",
                    "The number of the event after which to start.",
                    {"type": "integer", "minimum": 0},
                ),
            ),
            errors=_LOOKUP_ERRORS,
        ),
    ),
    _stored(
        "DELETE",
        "/responses/{id}",
        lambda to: to.response_delete,
        Operation(
            summary="Delete a stored response. One that is still being generated is ended first.",
            response=schemas.Deleted,
            errors=_LOOKUP_ERRORS,
        ),
    ),
    _stored(
        "POST",
        "/responses/{id}/cancel",
        lambda to: to.response_cancel,
        Operation(summary="Cancel a background response.", response=schemas.Response, errors=_LOOKUP_ERRORS),
    ),
    _stored(
        "GET",
        "/responses/{id}/input_items",
        lambda to: to.response_items,
        Operation(
            summary="List the input items of a stored response.",
            response=schemas.List,
            parameters=(_INCLUDE, *_PAGING),
            errors=_LOOKUP_ERRORS,
        ),
    ),
    _generate(
        "/embeddings",
        lambda to: to.embeddings,
        Operation(
            summary="Create embeddings of texts.",
            request=EmbeddingCreateRequest,
            response=schemas.EmbeddingList,
            errors=(*_ALL_ERRORS, "501"),
            example={"model": "all-MiniLM-L6-v2", "input": ["The word comes from Arabic."]},
        ),
    ),
    _generate(
        "/messages",
        lambda to: to.messages,
        Operation(
            summary="Create a message, in Anthropic's own form.",
            request=schemas.MessagesRequest,
            response=schemas.Message,
            error=schemas.MessagesError,
            example={"model": "claude-sonnet-5-5", "max_tokens": 1000, "messages": _USER_MESSAGE},
            docs_url=MESSAGES_DOCS,
        ),
    ),
    _generate(
        "/messages/count_tokens",
        lambda to: to.count_tokens,
        Operation(
            summary="Count the input tokens of a message.",
            request=schemas.MessagesRequest,
            response=schemas.MessageTokens,
            error=schemas.MessagesError,
            example={"model": "claude-sonnet-5-5", "messages": _USER_MESSAGE},
            docs_url=MESSAGES_DOCS,
        ),
    ),
    RouteSpec(
        method="GET",
        path="/models",
        handler=lambda to: to.models,
        operation=Operation(summary="List models and their aliases.", response=schemas.ModelList, errors=_KEY_ERRORS),
        versioned=True,
    ),
    RouteSpec(
        method="GET",
        path="/models/{id:path}",
        handler=lambda to: to.model,
        operation=Operation(summary="Return one model or alias.", response=schemas.Model, errors=(*_KEY_ERRORS, "404")),
        versioned=True,
    ),
    _page("/", lambda to: to.index),
    _page("/health", lambda to: to.health, Operation(summary="Whether the gateway runs.", response=schemas.Health)),
    _page(
        "/health/ready",
        lambda to: to.ready,
        Operation(summary="Whether a request would be answered.", response=schemas.Health),
    ),
    RouteSpec(
        method="GET",
        path="/metrics",
        handler=lambda to: to.metrics,
        operation=Operation(summary="Metrics for Prometheus.", errors=_KEY_ERRORS),
    ),
    RouteSpec(
        method="GET",
        path="/usage",
        handler=lambda to: to.own_usage,
        operation=Operation(
            summary="Return what the key of the request has used and cost.",
            response=access_schemas.OwnUsage,
            parameters=(
                Parameter("by", "What to sum by, separated by commas: `model`, `day`, `status`."),
                Parameter(
                    "since", "Only runs that began then or later: `7d`, an ISO 8601 time, or seconds since 1970."
                ),
                Parameter("until", "Only runs that began before."),
                Parameter("model", "Only runs of this model."),
            ),
            errors=("400", *_KEY_ERRORS, "503"),
        ),
    ),
    *ADMIN_ROUTES,
    _page(DASHBOARD_PATH, lambda to: to.dashboard),
    *(_page(f"{DASHBOARD_PATH}/{name}", lambda to: to.dashboard_file) for name in DASHBOARD_MODULES),
    RouteSpec(method="POST", path=SESSION_PATH, handler=lambda to: to.sign_in),
    RouteSpec(method="DELETE", path=SESSION_PATH, handler=lambda to: to.sign_out),
    _page("/docs", lambda to: to.docs),
    _page("/redoc", lambda to: to.docs_reading),
    *(_page(f"/docs/{name}", lambda to: to.docs_file) for name in (*SWAGGER_FILES, *STARTERS)),
    _page("/openapi.json", lambda to: to.openapi),
)

PUBLIC_PATHS = frozenset(path for route in ROUTES if route.public for path in route.paths)
"""Paths that need no key. They hold no secret; `/health/ready` says more to the operator."""

MODEL_LIST_PATHS = frozenset(path for route in ROUTES if route.path == "/models" for path in route.paths)

INDEX = list(
    dict.fromkeys(
        route.canonical_path.replace(":path", "")
        for route in ROUTES
        if route.path != "/" and not route.path.startswith((f"{DASHBOARD_PATH}/", "/docs/"))
    )
)
"""Every path for `GET /`, without the parts of the dashboard and of `/docs`."""
