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

_LARGE_MESSAGES = 40
_LARGE_BYTES = 100_000
_SYSTEM = "You are a helpful assistant. Answer in one short sentence."
_PROMPT = "Which is the largest lake that lies wholly in one country, and how deep is it?"


def plain(dialect: Dialect, *, large: bool = False) -> bytes:
    """Return a request without a stream.

    Args:
        dialect: The API of the request.
        large: Whether it has 100 KB of conversation.
    """
    return _request(dialect, _conversation() if large else _turns(_PROMPT), stream=False)


def streamed(dialect: Dialect, chunks: int = CHUNKS, pace: int = 0) -> bytes:
    """Return a request for a stream.

    Args:
        dialect: The API of the request.
        chunks: Text chunks of the response.
        pace: Milliseconds between two chunks.
    """
    return _request(dialect, _turns(f"{_PROMPT} script:{chunks}:{pace}"), stream=True)


def _turns(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def _conversation() -> list[dict[str, str]]:
    size = _LARGE_BYTES // _LARGE_MESSAGES
    text = ("The lake is deep and cold, and the boats are small. " * size)[:size]
    roles = ("user", "assistant")
    earlier = [{"role": roles[turn % 2], "content": f"{turn}: {text}"} for turn in range(_LARGE_MESSAGES)]
    return [*earlier, *_turns(_PROMPT)]


def _request(dialect: Dialect, turns: list[dict[str, str]], *, stream: bool) -> bytes:
    fields: dict[str, object] = {"model": MODEL, "max_tokens": 1024, "stream": stream}
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
