"""Timed requests: seconds to the first token, seconds until a process is reaped, and conversations per second."""

import itertools
import json
import os
import select
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from typing import TypeAlias

from servers import Served

Message: TypeAlias = dict[str, str]

MODEL = "claude-sonnet-5-5"
_SLOW_CHUNKS, _SLOW_PACE_MS = 1000, 50
"""A stream that lasts longer than the process takes to end."""
_numbers = itertools.count()


def new_conversation(pairs: int = 0) -> list[Message]:
    """Return a conversation that no process has: pairs of user and assistant messages, and one more user message."""
    number = next(_numbers)
    messages: list[Message] = []
    for pair in range(pairs):
        messages += [_user(f"Question {pair} of conversation {number}?"), _assistant(f"Answer {pair}.")]
    return [*messages, _user(f"Reply with exactly: {number}")]


def next_turn(messages: list[Message], response: str) -> list[Message]:
    """Return the conversation with its next turn."""
    return [*messages, _assistant(response), _user("Reply with exactly: next")]


def first_token(gateway: Served, messages: list[Message], path: str = "") -> tuple[float, str]:
    """Send a request. Return the seconds to the first token, and the text of the response.

    Args:
        gateway: The gateway.
        messages: The conversation.
        path: The required value of `x-dragoman-path`, so that nothing else is measured.
    """
    connection = gateway.connect()
    connection.connect()
    began = time.perf_counter()
    lines = _send(connection, messages)
    seconds, text = 0.0, ""
    for line in lines:
        if delta := _delta_text(line):
            seconds = seconds or time.perf_counter() - began
            text += delta
    if path and lines.headers["x-dragoman-path"] != path:
        raise SystemExit(f"The path was {lines.headers['x-dragoman-path']}, not {path}.")
    connection.close()
    return seconds, text


def full_response(gateway: Served, messages: list[Message]) -> tuple[float, str, str]:
    """Send a request. Return the seconds to its end, the text of the response, and its `x-dragoman-path`."""
    connection = gateway.connect()
    connection.connect()
    began = time.perf_counter()
    lines = _send(connection, messages)
    text = "".join(map(_delta_text, lines))
    seconds = time.perf_counter() - began
    connection.close()
    if not text:
        raise SystemExit(f"A response had status {lines.status} and no text.")
    return seconds, text, lines.headers["x-dragoman-path"]


def seconds_to_reap(gateway: Served) -> float:
    """Return the seconds from a disconnect in a stream until the process is reaped."""
    before = gateway.runtimes()
    connection = gateway.connect()
    lines = _send(connection, [_user(f"script:{_SLOW_CHUNKS}:{_SLOW_PACE_MS}")])
    next(line for line in lines if _delta_text(line))
    [pid] = gateway.runtimes() - before
    watched = os.pidfd_open(pid)
    began = time.perf_counter()
    lines.close()
    connection.close()
    select.select([watched], [], [], 60)
    os.close(watched)
    while _exists(pid):
        time.sleep(0.001)
    return time.perf_counter() - began


def conversations_per_second(gateway: Served, count: int, at_once: int) -> float:
    """Return how many new conversations get a response per second."""
    with ThreadPoolExecutor(at_once) as pool:
        began = time.perf_counter()
        list(pool.map(lambda _: first_token(gateway, new_conversation()), range(count)))
        return count / (time.perf_counter() - began)


def _send(connection: HTTPConnection, messages: list[Message]) -> HTTPResponse:
    body = json.dumps({"model": MODEL, "messages": messages, "stream": True})
    connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    return connection.getresponse()


def _delta_text(line: bytes) -> str:
    if not line.startswith(b"data: {"):
        return ""
    choices = json.loads(line[6:])["choices"]
    return choices[0]["delta"].get("content") or "" if choices else ""


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}
