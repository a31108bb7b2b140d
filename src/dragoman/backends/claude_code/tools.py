"""The client's tools, served to the runtime as its own, with each call parked until the client brings the result.

The runtime reaches them by the Model Context Protocol (https://modelcontextprotocol.io, JSON-RPC 2.0) inside its
control requests. Here they are only names: what the model is told of them goes into the request body as the client
wrote it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from dragoman.core.messages import JSON, Block, JSONObject

_RESULT_LIMIT = 250_000
"""Characters of a result that a parked call surely takes; the runtime cuts what is over some 500,000."""

Reply = Callable[[JSONObject], None]


class ToolServer:
    """The tools of one conversation.

    The runtime asks for a call's result once the model has called; the client brings it in its next request. Whichever
    comes first waits for the other.

    Args:
        names: The tools' names.

    Attributes:
        names: The tools' names.
        listed: Set once the runtime knows the tools.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        self._parked: dict[str, Reply] = {}
        self._results: dict[str, JSONObject] = {}
        self.listed = asyncio.Event()

    def take(self, message: JSONObject, reply: Reply) -> None:
        """Answer a JSON-RPC message of the runtime with `reply(result)`, now or when there is a result."""
        match message.get("method"):
            case "initialize":
                reply(_hello(cast("JSONObject", message["params"])))
            case "tools/list":
                reply({"tools": [_tool(name) for name in sorted(self.names)]})
                self.listed.set()
            case "tools/call":
                self._call(cast("JSONObject", message["params"]), reply)
            case _:
                reply({})

    def bring(self, results: Mapping[str, JSONObject]) -> None:
        """Answer calls with the client's results, by the id of the call."""
        for call, result in results.items():
            if waiting := self._parked.pop(call, None):
                waiting(result)
            else:
                self._results[call] = result

    def _call(self, params: JSONObject, reply: Reply) -> None:
        call = str(cast("JSONObject", params["_meta"])["claudecode/toolUseId"])
        if (result := self._results.pop(call, None)) is not None:
            reply(result)
        else:
            self._parked[call] = reply


def names_of(tools: Iterable[JSONObject]) -> list[str]:
    """The tools that the client runs; those of a type of their own are run by the API."""
    return [str(tool["name"]) for tool in tools if tool.get("type") in {None, "custom"}]


def as_call_results(content: Iterable[Block], calls: list[str]) -> dict[str, JSONObject] | None:
    """Tool results as parked calls take them, by the id of the call.

    None where a parked call would not pass them on to the last character: then the conversation is replayed.
    """
    results: dict[str, JSONObject] = {}
    for block in content:
        if block.get("type") != "tool_result" or (result := _call_result(block)) is None:
            return None
        results[str(block["tool_use_id"])] = result
    return results if set(results) == set(calls) else None


def _call_result(block: Block) -> JSONObject | None:
    failed = block.get("is_error") is True
    parts = [_part(part) for part in _parts_of(block)]
    known = [part for part in parts if part is not None]
    size = sum(len(str(value)) for part in known for value in part.values())
    # The runtime joins the parts of a failure to one text, and gives an empty result words of its own.
    exact = len(known) == len(parts) > 0 and not (failed and len(parts) > 1) and size <= _RESULT_LIMIT
    return {"content": list[JSON](known), "isError": failed} if exact else None


def _parts_of(block: Block) -> list[Block]:
    content = block.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return cast("list[Block]", content or [])


def _part(block: Block) -> JSONObject | None:
    source = block.get("source")
    match block.get("type"):
        case "text" if block.get("text") and not block.keys() - {"type", "text"}:
            return {"type": "text", "text": block["text"]}
        case "image" if isinstance(source, dict) and source.get("type") == "base64":
            return {"type": "image", "data": source["data"], "mimeType": source["media_type"]}
        case _:
            return None


def _hello(params: JSONObject) -> JSONObject:
    return {
        "protocolVersion": params["protocolVersion"],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "dragoman", "version": "1"},
    }


def _tool(name: str) -> JSONObject:
    return {
        "name": name,
        "description": "",
        "inputSchema": {"type": "object"},
        # Read-only tools are called at once where one message holds several calls, so results may come in any order.
        "annotations": {"readOnlyHint": True},
        "_meta": {"anthropic/maxResultSizeChars": 2 * _RESULT_LIMIT},
    }
