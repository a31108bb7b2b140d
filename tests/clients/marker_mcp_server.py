"""A small MCP server on stdin and stdout. Its tool returns the given text with a marker in front."""

import json
import sys
from typing import Any

MARKER = "from-mcp-"
"""The start of each result."""
TOOL = "echo_it"
_DESCRIPTION = {
    "name": TOOL,
    "description": "Return a text with a marker.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
}


def main() -> None:
    """Respond to each request of the client until it closes stdin."""
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            response = _respond(message["method"], message.get("params") or {})
            sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], **response}) + "\n")
            sys.stdout.flush()


def _respond(method: str, params: dict[str, Any]) -> dict[str, Any]:
    match method:
        case "initialize":
            version = params["protocolVersion"]
            server = {"name": "markers", "version": "1"}
            return {"result": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server}}
        case "tools/list":
            return {"result": {"tools": [_DESCRIPTION]}}
        case "tools/call":
            text = f"{MARKER}{params['arguments']['text']}"
            return {"result": {"content": [{"type": "text", "text": text}]}}
        case "ping":
            return {"result": {}}
        case _:
            return {"error": {"code": -32601, "message": "Method not found"}}


if __name__ == "__main__":
    main()
