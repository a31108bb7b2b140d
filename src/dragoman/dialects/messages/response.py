"""Errors in Anthropic's form: type and HTTP status of each cause.

Source: https://platform.claude.com/docs/en/api/errors

The list of models as the API gives it.

Source: https://platform.claude.com/docs/en/api/models-list
"""

from collections.abc import Mapping, Sequence

import msgspec

from dragoman.core import errors
from dragoman.core.catalog import Model
from dragoman.core.errors import GatewayError, InvalidRequest
from dragoman.core.messages import JSONObject
from dragoman.core.model_list import entry_of
from dragoman.dialects.base import ErrorResponse
from dragoman.dialects.shared import errors as statuses
from dragoman.dialects.shared.errors import Status, status_of
from dragoman.dialects.shared.validation import whole_number

STATUSES: Mapping[type[GatewayError], Status] = {
    **statuses.STATUSES,
    errors.NotFound: Status(404, "not_found_error"),
    errors.Conflict: Status(409, "conflict_error"),
    errors.RequestTooLarge: Status(413, "request_too_large"),
    errors.QuotaExceeded: Status(402, "billing_error"),
    errors.Overloaded: Status(529, "overloaded_error"),
    errors.TimedOut: Status(504, "timeout_error"),
}
"""What the API says otherwise than OpenAI's."""


def anthropic_error(error: GatewayError) -> JSONObject:
    """An error as a body, or as the data of an `error` event.

    Our own code and the field at fault stand in `details`, the place that the API has for more.
    """
    return {
        "type": "error",
        "error": {
            "type": status_of(error, STATUSES).type,
            "message": error.message,
            "details": {"code": error.code, "param": error.param},
        },
        "request_id": error.request_id,
    }


def anthropic_error_response(error: GatewayError) -> ErrorResponse:
    """An error before any answer began."""
    return ErrorResponse(status_of(error, STATUSES).http, msgspec.json.encode(anthropic_error(error)))


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
