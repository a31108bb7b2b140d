"""The models of the API: `GET /v1/models` and the model of a request.

Source: https://platform.claude.com/docs/en/api/models-list
"""

from dragoman.core.catalog import MODELS, Catalog, Model
from dragoman.core.errors import NotFound
from dragoman.core.messages import JSONObject
from dragoman.core.model_list import entry_of
from dragoman.simulator.errors import ApiError, invalid_request

_MAX_LIMIT = 1000


def find_model(name: str) -> Model:
    """Return the model of an id that the API accepts. The gateway's aliases are unknown to the API.

    Raises:
        ApiError: 404 `not_found_error`.
    """
    if name.startswith("claude-"):
        try:
            model = Catalog().resolve(name).model
        except NotFound:
            pass
        else:
            if name.startswith(model.id):
                return model
    raise ApiError(404, f"model: {name}")


def model_page(limit: int, after: str | None, before: str | None) -> JSONObject:
    """Return one page of the list, newest models first.

    Args:
        limit: 1 to 1000 models.
        after: The page starts after the model with this id.
        before: The page ends before the model with this id.

    Raises:
        ApiError: 400, if the limit is out of range.
    """
    if not 1 <= limit <= _MAX_LIMIT:
        raise invalid_request(f"limit: Input should be between 1 and {_MAX_LIMIT}")
    ids = [model.id for model in MODELS]
    start = ids.index(after) + 1 if after in ids else 0
    end = ids.index(before) if before in ids else len(ids)
    if before in ids and after not in ids:
        start = max(end - limit, 0)
    page = MODELS[start:end][:limit]
    has_more = start > 0 if before in ids else start + len(page) < len(ids)
    return {
        "data": [model_info(model) for model in page],
        "has_more": has_more,
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
    }


def model_info(model: Model) -> JSONObject:
    """Return one model as the API lists it."""
    return entry_of(model, batch=True)
