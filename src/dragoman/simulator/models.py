"""`GET /v1/models`: the model table in the API's shape.

Source: https://platform.claude.com/docs/en/api/models-list
"""

from dragoman.catalog import EFFORTS, MODELS, Catalog, Model
from dragoman.errors import NotFound
from dragoman.messages import JSONObject
from dragoman.simulator.problem import ApiProblem, refuse

_THINKING = ("adaptive", "between_tools", "disabled", "enabled")
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


def _capabilities(model: Model) -> JSONObject:
    yes = _supported(given=True)
    kinds: JSONObject = {kind: _supported(given=kind in model.thinking) for kind in _THINKING}
    efforts: JSONObject = {effort: _supported(given=effort in model.efforts) for effort in EFFORTS}
    edits: JSONObject = {"clear_thinking_20251015": yes, "clear_tool_uses_20250919": yes, "compact_20260112": yes}
    servers: JSONObject = {"web_search": yes, "code_execution": yes}
    return {
        "batch": yes,
        "citations": yes,
        "code_execution": yes,
        "context_management": {"supported": True, **edits},
        "effort": {"supported": bool(model.efforts), **efforts},
        "image_input": yes,
        "pdf_input": yes,
        "server_tools": {"supported": True, **servers},
        "structured_outputs": yes,
        "thinking": {"supported": True, "types": kinds},
    }


def _supported(*, given: bool) -> JSONObject:
    return {"supported": given}
