"""Models as the Messages API lists them: an entry made of what the catalog knows, and the catalog by a live list.

Source: https://platform.claude.com/docs/en/api/models-list
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from dragoman.core.catalog import EFFORTS, Catalog, Effort, Model
from dragoman.core.messages import JSON, JSONObject

_THINKING = ("adaptive", "between_tools", "disabled", "enabled")


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model as the provider lists it now.

    Attributes:
        id: Its id.
        name: What people call it; may be empty.
        entry: All that the list says of it; may be empty.
    """

    id: str
    name: str
    entry: JSONObject = field(default_factory=dict, compare=False)


def with_list(catalog: Catalog, listed: Iterable[ListedModel]) -> Catalog:
    """The catalog with the models that are listed, and with what the list knows better of each."""
    listed = list(listed)
    live = catalog.with_live((model.id, model.name) for model in listed)
    entries = {model.id: model.entry for model in listed}
    return replace(live, models=tuple(_corrected(model, entries.get(model.id, {})) for model in live.models))


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


def _corrected(model: Model, entry: JSONObject) -> Model:
    can = _object(entry.get("capabilities"))
    efforts = _efforts(_object(can.get("effort")), model)
    default = model.default_effort
    if default not in efforts:
        default = efforts[len(efforts) // 2] if efforts else None
    types = _object(_object(can.get("thinking")).get("types"))
    return replace(
        model,
        thinking=frozenset(kind for kind in types if _given(types[kind])) or model.thinking,
        efforts=efforts,
        default_effort=default,
        context_tokens=_count(entry.get("max_input_tokens")) or model.context_tokens,
        output_tokens=_count(entry.get("max_tokens")) or model.output_tokens,
    )


def _efforts(said: JSONObject, model: Model) -> tuple[Effort, ...]:
    if said.get("supported") is False:
        return ()
    return tuple(effort for effort in EFFORTS if _given(said.get(effort))) or model.efforts


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}


def _given(value: JSON) -> bool:
    return _object(value).get("supported") is True


def _count(value: JSON) -> int:
    return value if isinstance(value, int) and value > 0 else 0
