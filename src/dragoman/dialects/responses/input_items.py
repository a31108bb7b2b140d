"""Input items as they are stored and listed: each has an id, and the one form that OpenAI lists it in."""

from dragoman.core.messages import JSON, JSONObject

_ID_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "tool_search_call": "tsc",
    "tool_search_output": "tso",
    "additional_tools": "at",
    "local_shell_call": "lsh",
    "local_shell_call_output": "lsho",
    "shell_call": "sh",
    "shell_call_output": "sho",
    "apply_patch_call": "apc",
    "apply_patch_call_output": "apco",
    "agent_message": "amsg",
    "image_generation_call": "ig",
    "reasoning": "rs",
    "web_search_call": "ws",
    "compaction": "cmp",
}
_TYPES_WITHOUT_STATUS = frozenset({"reasoning", "compaction", "context_compaction", "additional_tools"})


def listed_items(items: JSON, id_digits: str) -> list[JSONObject]:
    """Return input items in the form that OpenAI lists them in.

    Args:
        items: The request's `input`: a text, or items that each have a `type`.
        id_digits: The digits to make an id from, for an item without an id.
    """
    if isinstance(items, str):
        items = [{"type": "message", "role": "user", "content": items}]
    return [_listed_item(item, f"{id_digits}{index:04x}") for index, item in enumerate(_objects(items))]


def _listed_item(item: JSONObject, id_digits: str) -> JSONObject:
    item_type = str(item["type"])
    listed = _without_nulls(item)
    listed["id"] = item.get("id") or f"{_ID_PREFIXES.get(item_type, item_type)}_i{id_digits}"
    if item_type not in _TYPES_WITHOUT_STATUS:
        listed["status"] = item.get("status") or "completed"
    if item_type == "message":
        listed["content"] = _listed_parts(item.get("content"), assistant=item.get("role") == "assistant")
    elif item_type == "reasoning":
        listed["summary"] = item.get("summary") or []
    elif isinstance(output := item.get("output"), list):
        listed["output"] = _listed_parts(output, assistant=False)
    return listed


def _listed_parts(content: JSON, *, assistant: bool) -> list[JSON]:
    if isinstance(content, str):
        content = [{"type": "input_text", "text": content}]
    return [_listed_part(part, assistant=assistant) for part in _objects(content)]


def _listed_part(part: JSONObject, *, assistant: bool) -> JSONObject:
    listed = _without_nulls(part)
    if assistant and "text" in part:
        return {**listed, "type": "output_text", "annotations": part.get("annotations") or [], "logprobs": []}
    if part.get("type") == "input_image":
        listed["detail"] = part.get("detail") or "auto"
    return listed


def _without_nulls(value: JSONObject) -> JSONObject:
    return {key: item for key, item in value.items() if item is not None}


def _objects(value: JSON) -> list[JSONObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
