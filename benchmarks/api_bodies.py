"""The requests as bytes, built once, so that the load generator only has to send them."""

import json
from typing import Literal, TypeAlias

MODEL = "claude-sonnet-5-5"
KEY = "sk-benchmark-0123456789"

CHUNKS = 128
"""Text chunks of a streamed response."""

PIECE = b" lake"
"""The text of each chunk. See `api_scripted.py`."""

Dialect: TypeAlias = Literal["anthropic", "openai"]

SERIAL = b"3141592653"
"""Digits in each message of an agent. See `api_load.Job`."""

AGENT_MESSAGES, AGENT_TOOLS, AGENT_BYTES = 200, 20, 100_000
"""What a coding agent sends on every turn."""

_WORDS = "def read(self, path): return open(path).read()  # as it was before\n"
_SYSTEM = "You are a helpful assistant. Answer in one short sentence."
_PROMPT = "Which is the largest lake that lies wholly in one country, and how deep is it?"


def plain(dialect: Dialect) -> bytes:
    """Return a small request without a stream."""
    return _request(dialect, _turns(_PROMPT), stream=False)


def agent(dialect: Dialect, messages: int = AGENT_MESSAGES, tools: int = AGENT_TOOLS, size: int = AGENT_BYTES) -> bytes:
    """Return a request as agents send it: tools, calls of them, and their results.

    Args:
        dialect: The API of the request.
        messages: The number of messages.
        tools: The number of tools.
        size: The approximate size of the body in bytes.
    """
    described = [_tool(dialect, number) for number in range(tools)]
    rest = size - len(json.dumps(described)) - messages * (110 if tools else 60)
    length = max(rest // (messages * 3 // 4 + 1 if tools else messages), 20)  # calls have no text
    text = (_WORDS * (length // len(_WORDS) + 1))[:length]
    turns: list[dict[str, object]] = []
    while len(turns) < messages - 1:
        turns += _steps(dialect, len(turns), text) if tools else _talk(len(turns), text)
    more: dict[str, object] = {"tools": described} if tools else {}
    return _request(dialect, [*turns[: (messages - 1) // 4 * 4], *_turns(_PROMPT)], stream=False, **more)


def streamed(dialect: Dialect, chunks: int = CHUNKS, pace: int = 0) -> bytes:
    """Return a request for a stream.

    Args:
        dialect: The API of the request.
        chunks: Text chunks of the response.
        pace: Milliseconds between two chunks.
    """
    return _request(dialect, _turns(f"{_PROMPT} script:{chunks}:{pace}"), stream=True)


def _turns(text: str) -> list[dict[str, object]]:
    return [{"role": "user", "content": text}]


def _talk(number: int, text: str) -> list[dict[str, object]]:
    """Return four messages without tools."""
    return [{"role": role, "content": f"{SERIAL.decode()} {number} {text}"} for role in ("user", "assistant") * 2]


def _steps(dialect: Dialect, number: int, text: str) -> list[dict[str, object]]:
    """Return four messages: a prompt, a call, its result, and the response."""
    id_, name, words = f"call_{SERIAL.decode()}_{number}", f"tool_{number % 7}", f"{SERIAL.decode()} {number} {text}"
    arguments = {"path": f"/src/{number}.py", "mode": "read"}
    if dialect == "anthropic":
        call: dict[str, object] = {"content": [{"type": "tool_use", "id": id_, "name": name, "input": arguments}]}
        result: dict[str, object] = {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": id_, "content": words}],
        }
    else:
        function = {"name": name, "arguments": json.dumps(arguments)}
        call = {"content": None, "tool_calls": [{"id": id_, "type": "function", "function": function}]}
        result = {"role": "tool", "tool_call_id": id_, "content": words}
    return [
        {"role": "user", "content": words},
        {"role": "assistant", **call},
        result,
        {"role": "assistant", "content": words},
    ]


def _tool(dialect: Dialect, number: int) -> dict[str, object]:
    properties = {
        "path": {"type": "string", "description": "The absolute path of the file."},
        "mode": {"type": "string", "enum": ["read", "write", "append"]},
        "lines": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "options": {"type": "object", "properties": {"follow": {"type": "boolean"}}, "additionalProperties": False},
    }
    schema = {"type": "object", "properties": properties, "required": ["path"], "additionalProperties": False}
    named = {"name": f"tool_{number}", "description": f"Tool {number} reads and writes files of the project. " * 4}
    if dialect == "anthropic":
        return {**named, "input_schema": schema}
    return {"type": "function", "function": {**named, "parameters": schema}}


def _request(dialect: Dialect, turns: list[dict[str, object]], *, stream: bool, **more: object) -> bytes:
    fields: dict[str, object] = {"model": MODEL, "max_tokens": 1024, "stream": stream, **more}
    if dialect == "anthropic":
        path, auth = "/v1/messages", f"x-api-key: {KEY}\r\nanthropic-version: 2023-06-01"
        fields |= {"system": _SYSTEM, "messages": turns}
    else:
        path, auth = "/v1/chat/completions", f"authorization: Bearer {KEY}"
        fields |= {"messages": [{"role": "system", "content": _SYSTEM}, *turns]}
    body = json.dumps(fields).encode()
    lines = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\naccept: */*\r\n"
        f"user-agent: benchmark\r\n{auth}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return lines.encode() + body
