"""The types of the route table: the handlers of the server, and the description of a route."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from dragoman.core.messages import JSONObject
from dragoman.core.value_object import value_object
from dragoman.server.docs import schemas

PageFunction: TypeAlias = Callable[[Request], Awaitable[Response]]


@value_object
class Handlers:
    """What answers each path: ASGI applications, or functions from a request to a response."""

    chat: ASGIApp
    completions: ASGIApp
    responses: ASGIApp
    input_tokens: ASGIApp
    compact: ASGIApp
    embeddings: ASGIApp
    messages: ASGIApp
    count_tokens: ASGIApp
    chat_list: ASGIApp
    chat_get: ASGIApp
    chat_update: ASGIApp
    chat_delete: ASGIApp
    chat_messages: ASGIApp
    response_get: ASGIApp
    response_delete: ASGIApp
    response_cancel: ASGIApp
    response_items: ASGIApp
    models: PageFunction
    model: PageFunction
    index: PageFunction
    health: PageFunction
    ready: PageFunction
    metrics: PageFunction
    docs: PageFunction
    docs_reading: PageFunction
    docs_file: PageFunction
    openapi: PageFunction
    admin_status: PageFunction
    admin_runs: PageFunction
    admin_run: PageFunction
    admin_events: PageFunction
    admin_cancel: PageFunction
    admin_keys: PageFunction
    admin_create_key: PageFunction
    admin_key: PageFunction
    admin_update_key: PageFunction
    admin_rotate_key: PageFunction
    admin_revoke_key: PageFunction
    admin_teams: PageFunction
    admin_create_team: PageFunction
    admin_team: PageFunction
    admin_update_team: PageFunction
    admin_delete_team: PageFunction
    admin_audit: PageFunction
    admin_limits: PageFunction
    admin_usage: PageFunction
    own_usage: PageFunction
    admin_live: PageFunction
    admin_settings: PageFunction
    admin_nodes: PageFunction
    admin_plan: PageFunction
    dashboard: PageFunction
    dashboard_file: PageFunction
    sign_in: PageFunction
    sign_out: PageFunction


@value_object
class Parameter:
    """A query parameter. Without a schema it is a string."""

    name: str
    description: str
    schema: JSONObject | None = None


@value_object(kw_only=True)
class Operation:
    """What the OpenAPI document says about a route.

    Attributes:
        summary: One sentence.
        request: The type of the JSON body, if there is one.
        response: The type of the JSON response; None: text.
        status: The status of that response.
        events: The type of the streamed events, if the response can be a stream.
        media_type: The media type of a response that is not JSON.
        parameters: Query parameters.
        errors: The statuses of errors that are listed; empty: one entry for all.
        error: The type of an error's body.
        example: A request body that works as it is.
        docs_url: Further documentation.
    """

    summary: str
    request: type[Struct] | None = None
    response: type[Struct] | None = None
    status: str = "200"
    events: type[Struct] | None = None
    media_type: str = "text/plain"
    parameters: tuple[Parameter, ...] = ()
    errors: tuple[str, ...] = ()
    error: type[Struct] = schemas.Error
    example: JSONObject | None = None
    docs_url: str | None = None


@value_object(kw_only=True)
class RouteSpec:
    """One route.

    Attributes:
        method: `GET`, `POST`, `PATCH` or `DELETE`.
        path: The path, without `/v1` where `versioned`.
        handler: Returns what answers it.
        operation: Its description; None: not in the OpenAPI document.
        versioned: Whether the path works with and without `/v1`: people write base URLs both ways.
        public: Whether it needs no key.
        hot: Whether it is looked up by its path alone, before the router tries route by route.
    """

    method: str
    path: str
    handler: Callable[[Handlers], ASGIApp | PageFunction]
    operation: Operation | None = None
    versioned: bool = False
    public: bool = False
    hot: bool = False

    @property
    def canonical_path(self) -> str:
        """Return the path that is documented."""
        return f"/v1{self.path}" if self.versioned else self.path

    @property
    def paths(self) -> tuple[str, ...]:
        """Return every path that the route answers."""
        return (f"/v1{self.path}", self.path) if self.versioned else (self.path,)
