"""`GET /v1/models`: the model table in the API's shape.

Source: https://platform.claude.com/docs/en/api/models-list
"""

from dragoman.core.catalog import MODELS, Catalog, Model
from dragoman.core.errors import NotFound
from dragoman.core.messages import JSONObject
from dragoman.core.model_list import entry_of
from dragoman.simulator.faults import ApiProblem, refuse

_MOST = 1000


def find_model(name: str) -> Model:
    """The model of an id that the API itself takes; no aliases.

    Raises:
        ApiProblem: 404 `not_found_error`.
    """
    if name.startswith("claude-"):
        try:
            model = Catalog().resolve(name).model
        except NotFound:
            pass
        else:
            if name.startswith(model.id):
                return model
    raise ApiProblem(404, f"model: {name}")


def model_page(limit: int, after: str | None, before: str | None) -> JSONObject:
    """One page of the list, newest models first.

    Args:
        limit: 1 to 1000 models.
        after: The id behind which the page starts.
        before: The id before which the page ends.
    """
    if not 1 <= limit <= _MOST:
        raise refuse(f"limit: Input should be between 1 and {_MOST}")
    ids = [model.id for model in MODELS]
    start = ids.index(after) + 1 if after in ids else 0
    end = ids.index(before) if before in ids else len(ids)
    if before in ids and after not in ids:
        start = max(end - limit, 0)
    page = MODELS[start:end][:limit]
    more = start > 0 if before in ids else start + len(page) < len(ids)
    return {
        "data": [model_info(model) for model in page],
        "has_more": more,
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
    }


def model_info(model: Model) -> JSONObject:
    """One model as the API lists it."""
    return entry_of(model, batch=True)
