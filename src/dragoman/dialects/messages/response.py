"""Errors and the list of models, as the Messages API encodes them.

Sources: https://platform.claude.com/docs/en/api/errors, https://platform.claude.com/docs/en/api/models-list
"""

from collections.abc import Mapping, Sequence

import msgspec

from dragoman.core import errors
from dragoman.core.catalog import Model
from dragoman.core.errors import GatewayError, InvalidRequest
from dragoman.core.messages import JSONObject
from dragoman.core.model_list import entry_of
from dragoman.dialects.base import ErrorResponse
from dragoman.dialects.shared.errors import STATUSES as OPENAI_STATUSES
from dragoman.dialects.shared.errors import Status, status_of
from dragoman.dialects.shared.validation import parse_digits

STATUSES: Mapping[type[GatewayError], Status] = {
    **OPENAI_STATUSES,
    errors.NotFound: Status(404, "not_found_error"),
    errors.Conflict: Status(409, "conflict_error"),
    errors.RequestTooLarge: Status(413, "request_too_large"),
    errors.QuotaExceeded: Status(402, "billing_error"),
    errors.Overloaded: Status(529, "overloaded_error"),
    errors.TimedOut: Status(504, "timeout_error"),
}
"""The statuses of OpenAI's API, with those that the Messages API has instead."""

_DEFAULT_PAGE_SIZE, _MAX_PAGE_SIZE = 20, 1000


def anthropic_error(error: GatewayError) -> JSONObject:
    """Return an error as a body, or as the data of an `error` event.

    Our own code and the field's name are in `details`, the API's place for additional information.
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
    """Encode an error that ends the request before a response began."""
    return ErrorResponse(status_of(error, STATUSES).http, msgspec.json.encode(anthropic_error(error)))


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
