"""The list of models, as the Messages API encodes it.

Source: https://platform.claude.com/docs/en/api/models-list
"""

from collections.abc import Sequence

from dragoman.core.catalog import Model
from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSONObject
from dragoman.core.model_list import entry_of
from dragoman.dialects.shared.validation import parse_digits

_DEFAULT_PAGE_SIZE, _MAX_PAGE_SIZE = 20, 1000


def model_page(models: Sequence[Model], limit: str | None, after: str | None, before: str | None) -> JSONObject:
    """Return one page of the list of models, in its order.

    Args:
        models: The whole list.
        limit: The page size, as in the query.
        after: The page begins after this id.
        before: The page ends before this id; it is the last part of what comes before it.

    Raises:
        InvalidRequest: The limit is not a number, or is out of range.
    """
    size = parse_digits(limit) if limit else _DEFAULT_PAGE_SIZE
    if size is None or not 1 <= size <= _MAX_PAGE_SIZE:
        raise InvalidRequest(f"`limit` must be an integer from 1 to {_MAX_PAGE_SIZE}.", param="limit")
    ids = [model.id for model in models]
    start = ids.index(after) + 1 if after in ids else 0
    end = ids.index(before) if before in ids else len(ids)
    backwards = before in ids and after not in ids
    page = models[start:end][-size:] if backwards else models[start:end][:size]
    return {
        "data": [model_info(model) for model in page],
        "has_more": len(page) < end - start,
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
    }


def model_info(model: Model) -> JSONObject:
    """Return one model. The gateway does not support batches."""
    return entry_of(model, batch=False)
