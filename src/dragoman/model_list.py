"""A model as the Messages API lists it, from what the catalog knows of it.

Source: https://platform.claude.com/docs/en/api/models-list
"""

from dragoman.catalog import EFFORTS, Model
from dragoman.messages import JSONObject

_THINKING = ("adaptive", "between_tools", "disabled", "enabled")


def entry_of(model: Model, *, batch: bool) -> JSONObject:
    """One entry of the list.

    Args:
        model: The model.
        batch: Whether whoever lists it takes batches.
    """
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
        "capabilities": _capabilities(model, batch=batch),
    }


def _capabilities(model: Model, *, batch: bool) -> JSONObject:
    """What all models of the catalog have in common, and what its table knows of this one."""
    yes = _supported(given=True)
    kinds: JSONObject = {kind: _supported(given=kind in model.thinking) for kind in _THINKING}
    efforts: JSONObject = {effort: _supported(given=effort in model.efforts) for effort in EFFORTS}
    edits: JSONObject = {"clear_thinking_20251015": yes, "clear_tool_uses_20250919": yes, "compact_20260112": yes}
    return {
        "batch": _supported(given=batch),
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
