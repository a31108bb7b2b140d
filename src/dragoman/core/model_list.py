"""The Messages API's list of models: entries from the catalog, and the catalog corrected by a live list.

Source: https://platform.claude.com/docs/en/api/models-list
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from dragoman.core.catalog import EFFORTS, Catalog, Effort, Model
from dragoman.core.messages import JSON, JSONObject
from dragoman.core.value_object import replace

_THINKING_TYPES = ("adaptive", "between_tools", "disabled", "enabled")


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model as the provider lists it.

    Attributes:
        id: Its id.
        name: Its display name; may be empty.
        entry: The whole entry of the list; may be empty.
    """

    id: str
    name: str
    entry: JSONObject = field(default_factory=dict, compare=False)


def with_list(catalog: Catalog, listed: Iterable[ListedModel]) -> Catalog:
    """Return the catalog with the listed models added, and with each model corrected by its entry in the list."""
    listed = list(listed)
    live = catalog.with_live((model.id, model.name) for model in listed)
    entries = {model.id: model.entry for model in listed}
    models = tuple(_corrected(model, entries.get(model.id, {})) for model in live.models)
    # Without their entries, they are only the runtime's own choice of models.
    offered = frozenset(entries) if listed and all(entries.values()) else None
    return replace(live, models=models, offered=offered)


def entry_of(model: Model, *, batch: bool) -> JSONObject:
    """Return a model's entry of the list.

    Args:
        model: The model.
        batch: Whether the server that lists it accepts batches.
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
    """Return what all models can do, and what the catalog says about this one."""
    yes = _supported(value=True)
    thinking: JSONObject = {kind: _supported(value=kind in model.thinking) for kind in _THINKING_TYPES}
    efforts: JSONObject = {effort: _supported(value=effort in model.efforts) for effort in EFFORTS}
    edits: JSONObject = {"clear_thinking_20251015": yes, "clear_tool_uses_20250919": yes, "compact_20260112": yes}
    return {
        "batch": _supported(value=batch),
        "citations": yes,
        "code_execution": yes,
        "context_management": {"supported": True, **edits},
        "effort": {"supported": bool(model.efforts), **efforts},
        "image_input": yes,
        "pdf_input": yes,
        "server_tools": {"supported": True, "web_search": yes, "code_execution": yes},
        "structured_outputs": yes,
        "thinking": {"supported": True, "types": thinking},
    }


def _supported(*, value: bool) -> JSONObject:
    return {"supported": value}


def _corrected(model: Model, entry: JSONObject) -> Model:
    capabilities = _object(entry.get("capabilities"))
    efforts = _efforts(_object(capabilities.get("effort")), model)
    default = model.default_effort
    if default not in efforts:
        default = efforts[len(efforts) // 2] if efforts else None
    thinking = _object(_object(capabilities.get("thinking")).get("types"))
    return replace(
        model,
        thinking=frozenset(kind for kind in thinking if _is_supported(thinking[kind])) or model.thinking,
        efforts=efforts,
        default_effort=default,
        context_tokens=_count(entry.get("max_input_tokens")) or model.context_tokens,
        output_tokens=_count(entry.get("max_tokens")) or model.output_tokens,
    )


def _efforts(listed: JSONObject, model: Model) -> tuple[Effort, ...]:
    if listed.get("supported") is False:
        return ()
    return tuple(effort for effort in EFFORTS if _is_supported(listed.get(effort))) or model.efforts


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}


def _is_supported(value: JSON) -> bool:
    return _object(value).get("supported") is True


def _count(value: JSON) -> int:
    return value if isinstance(value, int) and value > 0 else 0
