"""`GET /v1/models` and `/v1/models/{id}`, in OpenAI's form or, for clients that speak Anthropic's API, in its own."""

from datetime import UTC, datetime, time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dragoman.core.catalog import ALIASES, Catalog, Model
from dragoman.core.errors import NotFound
from dragoman.core.messages import JSONObject
from dragoman.dialects.messages.models import model_info, model_page
from dragoman.server.catalog import LiveCatalog
from dragoman.server.context import RequestContext, get_context
from dragoman.server.middleware import ANTHROPIC_VERSION


class Models:
    """The endpoints that list models."""

    def __init__(self, catalog: LiveCatalog) -> None:
        self._catalog = catalog

    async def list(self, request: Request) -> Response:
        """Return the list: models first, then aliases, which Anthropic's form does not have.

        Raises:
            InvalidRequest: A paging parameter is invalid.
        """
        await self._catalog.refresh()
        context = get_context(request.scope)
        catalog = self._for(context)
        if ANTHROPIC_VERSION in context.headers:
            query = request.query_params
            page = model_page(catalog.listed, query.get("limit"), query.get("after_id"), query.get("before_id"))
            return JSONResponse(page)
        models = [_entry(model.id, model) for model in catalog.listed]
        return JSONResponse({"object": "list", "data": [*models, *_aliases(catalog)]})

    async def get(self, request: Request) -> Response:
        """Return one model or alias.

        Raises:
            NotFound: There is no such model or alias.
        """
        await self._catalog.refresh()
        context, name = get_context(request.scope), request.path_params["id"]
        catalog = self._for(context)
        model = catalog.resolve(name).model
        if ANTHROPIC_VERSION in context.headers:
            return JSONResponse(model_info(model))
        is_alias = name in catalog.aliases or name in ALIASES
        return JSONResponse(_entry(name if is_alias else model.id, model))

    def _for(self, context: RequestContext) -> Catalog:
        """Return the models that a client may use. An unknown client of an open list gets all models."""
        return self._catalog.for_client(context.client) if context.authenticated else self._catalog()


def _aliases(catalog: Catalog) -> list[JSONObject]:
    """Return the aliases whose model is listed: `--models` and the provider's list may leave some without one."""
    entries, listed = [], frozenset(model.id for model in catalog.listed)
    for name in {**ALIASES, **catalog.aliases}:
        try:
            model = catalog.resolve(name).model
        except NotFound:
            continue
        if model.id in listed:
            entries.append(_entry(name, model))
    return entries


def _entry(name: str, model: Model) -> JSONObject:
    """Return a model in OpenAI's form. `root` is the id of the model behind an alias, as in OpenAI's own lists."""
    created = datetime.combine(model.released, time(), UTC)
    return {
        "id": name,
        "object": "model",
        "created": int(created.timestamp()),
        "owned_by": "anthropic",
        "root": model.id,
        "display_name": model.name,
        "context_window": model.context_tokens,
        "max_output_tokens": model.output_tokens,
    }
