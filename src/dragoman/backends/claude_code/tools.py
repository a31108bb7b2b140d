"""The client's tools, served to the runtime as its own. Each call is parked until the client sends the result.

The runtime reaches the tools through the Model Context Protocol (https://modelcontextprotocol.io, JSON-RPC 2.0) inside
its control requests. The server knows the tools by name only: the request body carries their definitions as the client
wrote them.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from dragoman.core.messages import JSON, Block, JSONObject

_MAX_RESULT_CHARACTERS = 250_000
"""Characters of a result that a parked call takes for certain. The runtime cuts what exceeds some 500,000."""

Reply = Callable[[JSONObject], None]


class ToolServer:
    """The tools of one conversation.

    The runtime asks for a call's result after the model made the call. The client sends it in its next request. The
    first of the two waits for the other.

    Args:
        names: The tools' names.

    Attributes:
        names: The tools' names.
        listed: Set once the runtime knows the tools.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        self.listed = asyncio.Event()
        self._parked_calls: dict[str, Reply] = {}
        self._results: dict[str, JSONObject] = {}

    def handle(self, message: JSONObject, reply: Reply) -> None:
        """Answer a JSON-RPC message of the runtime with `reply(result)`, now or when the result is there."""
        match message.get("method"):
            case "initialize":
                reply(_initialize_result(cast("JSONObject", message["params"])))
            case "tools/list":
                reply({"tools": [_tool_entry(name) for name in sorted(self.names)]})
                self.listed.set()
            case "tools/call":
                self._call(cast("JSONObject", message["params"]), reply)
            case _:
                reply({})

    def add_results(self, results: Mapping[str, JSONObject]) -> None:
        """Answer calls with the client's results, by the id of the call."""
        for call_id, result in results.items():
            if reply := self._parked_calls.pop(call_id, None):
                reply(result)
            else:
                self._results[call_id] = result

    def _call(self, params: JSONObject, reply: Reply) -> None:
        call_id = str(cast("JSONObject", params["_meta"])["claudecode/toolUseId"])
        if (result := self._results.pop(call_id, None)) is not None:
            reply(result)
        else:
            self._parked_calls[call_id] = reply


def client_tool_names(tools: Iterable[JSONObject]) -> list[str]:
    """Return the names of the tools that the client runs. Tools with a type of their own are run by the API."""
    return [str(tool["name"]) for tool in tools if tool.get("type") in {None, "custom"}]


def to_call_results(content: Iterable[Block], call_ids: list[str]) -> dict[str, JSONObject] | None:
    """Convert a user message's tool results to results of parked calls, by the id of the call.

    Returns:
        None if a parked call would not pass the results on unchanged. The conversation must then be replayed.
    """
    results: dict[str, JSONObject] = {}
    for block in content:
        if block.get("type") != "tool_result" or (result := _call_result(block)) is None:
            return None
        results[str(block["tool_use_id"])] = result
    return results if set(results) == set(call_ids) else None


def _call_result(block: Block) -> JSONObject | None:
    is_error = block.get("is_error") is True
    content = block.get("content")
    blocks: list[Block] = [{"type": "text", "text": content}] if isinstance(content, str) else _blocks(content)
    parts = [_result_part(part) for part in blocks]
    known = [part for part in parts if part is not None]
    size = sum(len(str(value)) for part in known for value in part.values())
    # The runtime joins the parts of an error to one text, and replaces an empty result by a text of its own.
    if len(known) < len(parts) or not parts or (is_error and len(parts) > 1) or size > _MAX_RESULT_CHARACTERS:
        return None
    return {"content": list[JSON](known), "isError": is_error}


def _blocks(content: JSON) -> list[Block]:
    return cast("list[Block]", content or [])


def _result_part(block: Block) -> JSONObject | None:
    source = block.get("source")
    match block.get("type"):
        case "text" if block.get("text") and not block.keys() - {"type", "text"}:
            return {"type": "text", "text": block["text"]}
        case "image" if isinstance(source, dict) and source.get("type") == "base64":
            return {"type": "image", "data": source["data"], "mimeType": source["media_type"]}
        case _:
            return None


def _initialize_result(params: JSONObject) -> JSONObject:
    return {
        "protocolVersion": params["protocolVersion"],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "dragoman", "version": "1"},
    }


def _tool_entry(name: str) -> JSONObject:
    return {
        "name": name,
        "description": "",
        "inputSchema": {"type": "object"},
        # The runtime calls read-only tools of one message at once, so their results may arrive in any order.
        "annotations": {"readOnlyHint": True},
        "_meta": {"anthropic/maxResultSizeChars": 2 * _MAX_RESULT_CHARACTERS},
    }
