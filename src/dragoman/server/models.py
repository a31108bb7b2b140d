"""`GET /v1/models` and `/v1/models/{id}`, in OpenAI's form."""

from datetime import UTC, datetime, time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dragoman.catalog import ALIASES, Catalog, Model
from dragoman.errors import NotFound
from dragoman.messages import JSONObject
from dragoman.server.catalog import LiveCatalog


class Models:
    """The endpoints that tell which models there are."""

    def __init__(self, catalog: LiveCatalog) -> None:
        self._catalog = catalog

    async def all(self, request: Request) -> Response:  # noqa: ARG002 - the same for everyone
        """Answer the list: models first, then aliases."""
        await self._catalog.refresh()
        catalog = self._catalog()
        models = [_entry(model.id, model) for model in catalog.models]
        return JSONResponse({"object": "list", "data": [*models, *_aliases(catalog)]})

    async def one(self, request: Request) -> Response:
        """Answer one entry.

        Raises:
            NotFound: There is no such model or alias.
        """
        await self._catalog.refresh()
        name = request.path_params["id"]
        return JSONResponse(_entry(name, self._catalog().resolve(name).model))


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
