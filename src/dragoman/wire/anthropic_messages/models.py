"""The list of models as the API gives it.

Source: https://platform.claude.com/docs/en/api/models-list
"""

from collections.abc import Sequence

from dragoman.catalog import EFFORTS, Model
from dragoman.errors import InvalidRequest
from dragoman.messages import JSONObject

_THINKING = ("adaptive", "between_tools", "disabled", "enabled")
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
    """One model."""
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.name,
        "created_at": f"{model.released.isoformat()}T00:00:00Z",
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "line": model.id.split("-")[1],
        "max_input_tokens": model.context_tokens,
        "max_tokens": model.output_tokens,
        "capabilities": _capabilities(model),
    }


def _limit(asked: str | None) -> int:
    limit = int(asked) if asked and asked.isascii() and asked.isdecimal() else None if asked else _USUAL
    if limit is None or not 1 <= limit <= _MOST:
        raise InvalidRequest(f"`limit` must be an integer from 1 to {_MOST}.", param="limit")
    return limit


def _capabilities(model: Model) -> JSONObject:
    """What all models of the catalog have in common, and what its table knows of this one."""
    yes, no = _supported(given=True), _supported(given=False)
    kinds: JSONObject = {kind: _supported(given=kind in model.thinking) for kind in _THINKING}
    efforts: JSONObject = {effort: _supported(given=effort in model.efforts) for effort in EFFORTS}
    edits: JSONObject = {"clear_thinking_20251015": yes, "clear_tool_uses_20250919": yes, "compact_20260112": yes}
    return {
        "batch": no,  # the gateway has no such endpoint
        "citations": yes,
        "code_execution": yes,
        "context_management": {"supported": True, **edits},
        "effort": {"supported": bool(model.efforts), **efforts},
        "image_input": yes,
        "pdf_input": yes,
        "server_tools": {"supported": True, "web_search": yes, "code_execution": yes},
        "structured_outputs": yes,
        "thinking": {"supported": True, "types": kinds},
    }


def _supported(*, given: bool) -> JSONObject:
    return {"supported": given}
