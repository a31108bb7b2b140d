"""Requests in the one form that the schema reads: every item and tool with its `type`."""

from typing import cast

from dragoman.errors import UnsupportedFeature
from dragoman.messages import JSON, JSONObject
from dragoman.wire.openai_responses.item_schema import KINDS
from dragoman.wire.openai_responses.tool_schema import KINDS as TOOL_KINDS
from dragoman.wire.openai_responses.tool_schema import WEB_SEARCHES


def normal(data: JSON) -> JSON:
    """The same request, in that form. What is no request at all stays as it is, for the schema to refuse.

    Raises:
        UnsupportedFeature: An item is of a kind that means nothing here; `param` names it.
    """
    if not isinstance(data, dict):
        return data
    made = dict(data)
    if isinstance(items := data.get("input"), list):
        made["input"] = [_item(item, index) for index, item in enumerate(items)]
    if isinstance(tools := data.get("tools"), list):
        made["tools"] = [_tool(tool) for tool in tools]
    return made


def _item(item: JSON, index: int) -> JSON:
    if not isinstance(item, dict):
        return item
    kind = item.get("type")
    if kind is None and "role" in item:
        return {**item, "type": "message"}
    if kind is None and "id" in item:
        return {**item, "type": "item_reference"}
    if isinstance(kind, str) and kind not in KINDS:
        raise UnsupportedFeature(f"Items of type `{kind[:60]}` are not supported.", param=f"input[{index}].type")
    return item


def _tool(tool: JSON) -> JSON:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if not isinstance(kind, str):
        return tool
    if kind in WEB_SEARCHES:
        return {**cast("JSONObject", tool), "type": "web_search"}
    return tool if kind in TOOL_KINDS else {"type": "other", "kind": kind}
