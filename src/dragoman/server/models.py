"""`GET /v1/models` and `/v1/models/{id}`, in OpenAI's form or, for clients that speak Anthropic's API, in its own."""

from datetime import UTC, datetime, time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dragoman.core.catalog import ALIASES, Catalog, Model
from dragoman.core.errors import NotFound
from dragoman.core.messages import JSONObject
from dragoman.dialects.messages.response import model_info, model_page
from dragoman.server.catalog import LiveCatalog
from dragoman.server.context import RequestContext, get_context
from dragoman.server.middleware import VERSION


class Models:
    """The endpoints that tell which models there are."""

    def __init__(self, catalog: LiveCatalog) -> None:
        self._catalog = catalog

    async def all(self, request: Request) -> Response:
        """Answer the list: models first, then aliases, which Anthropic's form does not know.

        Raises:
            InvalidRequest: A page was asked for that there cannot be.
        """
        await self._catalog.refresh()
        context = get_context(request.scope)
        catalog = self._for(context)
        if VERSION in context.headers:
            query = request.query_params
            page = model_page(catalog.models, query.get("limit"), query.get("after_id"), query.get("before_id"))
            return JSONResponse(page)
        models = [_entry(model.id, model) for model in catalog.models]
        return JSONResponse({"object": "list", "data": [*models, *_aliases(catalog)]})

    async def one(self, request: Request) -> Response:
        """Answer one entry.

        Raises:
            NotFound: There is no such model or alias.
        """
        await self._catalog.refresh()
        context, name = get_context(request.scope), request.path_params["id"]
        model = self._for(context).resolve(name).model
        return JSONResponse(model_info(model) if VERSION in context.headers else _entry(name, model))

    def _for(self, context: RequestContext) -> Catalog:
        """What its client is served; one whom nobody knows, where the list needs no key, is told of all."""
        return self._catalog.of(context.client) if context.known else self._catalog()


def _aliases(catalog: Catalog) -> list[JSONObject]:
    """Those that lead to a model which is served; with a chosen list of models some may not."""
    entries = []
    for name in {**ALIASES, **catalog.aliases}:
        try:
            entries.append(_entry(name, catalog.resolve(name).model))
        except NotFound:
            continue
    return entries


def _entry(name: str, model: Model) -> JSONObject:
    """A model as OpenAI lists it; `root` is the id that an alias leads to, as in OpenAI's own lists."""
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
