"""Input items as they are kept and shown: each with an id, and in the one form that OpenAI lists them in."""

from collections.abc import Iterable

from dragoman.messages import JSON, JSONObject

_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
    "web_search_call": "ws",
    "compaction": "cmp",
}
_WITHOUT_STATUS = frozenset({"reasoning", "compaction"})


def resources(given: JSON, digits: str) -> list[JSONObject]:
    """The items of an input.

    Args:
        given: The input: a text, or items that each have their `type`.
        digits: What ids are made from, for items that have none.
    """
    if isinstance(given, str):
        given = [{"type": "message", "role": "user", "content": given}]
    items = [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []
    return [_resource(item, f"{digits}{place:04x}") for place, item in enumerate(items)]


def _resource(item: JSONObject, digits: str) -> JSONObject:
    kind = str(item["type"])
    made: JSONObject = {key: value for key, value in item.items() if value is not None}
    made["id"] = item.get("id") or f"{_PREFIXES.get(kind, kind)}_i{digits}"
    if kind not in _WITHOUT_STATUS:
        made["status"] = item.get("status") or "completed"
    if kind == "message":
        made["content"] = _parts(item.get("content"), assistant=item.get("role") == "assistant")
    elif kind == "reasoning":
        made["summary"] = item.get("summary") or []
    elif isinstance(output := item.get("output"), list):
        made["output"] = _parts(output, assistant=False)
    return made


def _parts(content: JSON, *, assistant: bool) -> list[JSON]:
    if isinstance(content, str):
        content = [{"type": "input_text", "text": content}]
    return [_part(part, assistant=assistant) for part in _objects(content)]


def _part(part: JSONObject, *, assistant: bool) -> JSONObject:
    made: JSONObject = {key: value for key, value in part.items() if value is not None}
    if assistant and "text" in part:
        return {**made, "type": "output_text", "annotations": part.get("annotations") or [], "logprobs": []}
    if part.get("type") == "input_image":
        made["detail"] = part.get("detail") or "auto"
    return made


def _objects(content: JSON) -> Iterable[JSONObject]:
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
