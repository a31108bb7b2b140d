"""What is asked, as whole HTTP requests: made once, so that asking costs the load generator nothing."""

import json
from typing import Literal, TypeAlias

MODEL = "claude-sonnet-5-5"
KEY = "sk-benchmark-0123456789"

CHUNKS = 128
"""Pieces of text in a streamed answer."""

PIECE = b" lake"
"""The words of each; see `api_scripted.py`."""

Dialect: TypeAlias = Literal["anthropic", "openai"]

_LARGE_TURNS = 40
_LARGE = 100_000
_SYSTEM = "You are a helpful assistant. Answer in one short sentence."
_QUESTION = "Which is the largest lake that lies wholly in one country, and how deep is it?"


def plain(dialect: Dialect, *, large: bool = False) -> bytes:
    """A question whose answer comes in one piece.

    Args:
        dialect: How it is asked.
        large: Whether 100 KB of conversation come with it.
    """
    return _request(dialect, _conversation() if large else _turns(_QUESTION), stream=False)


def streamed(dialect: Dialect, chunks: int = CHUNKS, pace: int = 0) -> bytes:
    """A question whose answer is streamed.

    Args:
        dialect: How it is asked.
        chunks: Pieces of text that come.
        pace: Milliseconds between two of them.
    """
    return _request(dialect, _turns(f"{_QUESTION} script:{chunks}:{pace}"), stream=True)


def _turns(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


def _conversation() -> list[dict[str, str]]:
    size = _LARGE // _LARGE_TURNS
    said = ("The lake is deep and cold, and the boats are small. " * size)[:size]
    roles = ("user", "assistant")
    earlier = [{"role": roles[turn % 2], "content": f"{turn}: {said}"} for turn in range(_LARGE_TURNS)]
    return [*earlier, *_turns(_QUESTION)]


def _request(dialect: Dialect, turns: list[dict[str, str]], *, stream: bool) -> bytes:
    asked: dict[str, object] = {"model": MODEL, "max_tokens": 1024, "stream": stream}
    if dialect == "anthropic":
        path, sign = "/v1/messages", f"x-api-key: {KEY}\r\nanthropic-version: 2023-06-01"
        asked |= {"system": _SYSTEM, "messages": turns}
    else:
        path, sign = "/v1/chat/completions", f"authorization: Bearer {KEY}"
        asked |= {"messages": [{"role": "system", "content": _SYSTEM}, *turns]}
    body = json.dumps(asked).encode()
    lines = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\naccept: */*\r\n"
        f"user-agent: benchmark\r\n{sign}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return lines.encode() + body
