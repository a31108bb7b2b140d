"""The list of models as the API gives it.

Source: https://platform.claude.com/docs/en/api/models-list
"""

from collections.abc import Sequence

from dragoman.catalog import Model
from dragoman.errors import InvalidRequest
from dragoman.messages import JSONObject
from dragoman.model_list import entry_of
from dragoman.wire.validation import whole_number

_USUAL, _MOST = 20, 1000


def model_page(models: Sequence[Model], limit: str | None, after: str | None, before: str | None) -> JSONObject:
    """One page of the list, in its order.

    Args:
        models: The whole list.
        limit: How many, as the query says it.
        after: The id behind which the page starts.
        before: The id before which it ends; the page is the last part of what stands there.

    Raises:
        InvalidRequest: The limit is none.
    """
    most = _limit(limit)
    ids = [model.id for model in models]
    start = ids.index(after) + 1 if after in ids else 0
    end = ids.index(before) if before in ids else len(ids)
    backwards = before in ids and after not in ids
    page = models[start:end][-most:] if backwards else models[start:end][:most]
    return {
        "data": [model_info(model) for model in page],
        "has_more": len(page) < end - start,
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
    }


def model_info(model: Model) -> JSONObject:
    """One model. The gateway takes no batches."""
    return entry_of(model, batch=False)


def _limit(asked: str | None) -> int:
    limit = whole_number(asked) if asked else _USUAL
    if limit is None or not 1 <= limit <= _MOST:
        raise InvalidRequest(f"`limit` must be an integer from 1 to {_MOST}.", param="limit")
    return limit
