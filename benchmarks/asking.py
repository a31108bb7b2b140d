"""One request at a time, timed from the first byte sent to the first token and to the process's end."""

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
_numbers = itertools.count()


def fresh(pairs: int = 0) -> list[Message]:
    """A conversation that no process has seen: so many questions with answers, and one more question."""
    number = next(_numbers)
    messages: list[Message] = []
    for pair in range(pairs):
        messages += [_user(f"Question {pair} of conversation {number}?"), _assistant(f"Answer {pair}.")]
    return [*messages, _user(f"Reply with exactly: {number}")]


def followed(messages: list[Message], answer: str) -> list[Message]:
    """The conversation's next turn."""
    return [*messages, _assistant(answer), _user("Reply with exactly: next")]


def first_token(gateway: Served, messages: list[Message], path: str = "") -> tuple[float, str]:
    """Seconds to the first token, and the whole answer.

    Args:
        gateway: Whom to ask.
        messages: What.
        path: How it must be answered (`x-dragoman-path`), so that nothing else is measured.
    """
    connection = gateway.connect()
    connection.connect()
    began = time.perf_counter()
    lines = _ask(connection, messages)
    seconds, answer = 0.0, ""
    for line in lines:
        if words := _words(line):
            seconds = seconds or time.perf_counter() - began
            answer += words
    if path and lines.headers["x-dragoman-path"] != path:
        raise SystemExit(f"Answered by a {lines.headers['x-dragoman-path']} process where a {path} one was wanted.")
    connection.close()
    return seconds, answer


def gone(gateway: Served) -> float:
    """Seconds from a client's leaving in mid-answer to its process being reaped."""
    before = gateway.runtimes()
    connection = gateway.connect()
    lines = _ask(connection, [_user("Count to 9\nSimulate: silence after 2")])
    next(line for line in lines if _words(line))
    [pid] = gateway.runtimes() - before
    watched = os.pidfd_open(pid)
    began = time.perf_counter()
    lines.close()
    connection.close()
    select.select([watched], [], [], 60)
    os.close(watched)
    while _is_there(pid):
        time.sleep(0.001)
    return time.perf_counter() - began


def per_second(gateway: Served, count: int, at_once: int) -> float:
    """New conversations answered in a second."""
    with ThreadPoolExecutor(at_once) as pool:
        began = time.perf_counter()
        list(pool.map(lambda _: first_token(gateway, fresh()), range(count)))
        return count / (time.perf_counter() - began)


def _ask(connection: HTTPConnection, messages: list[Message]) -> HTTPResponse:
    body = json.dumps({"model": MODEL, "messages": messages, "stream": True})
    connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    return connection.getresponse()


def _words(line: bytes) -> str:
    if not line.startswith(b"data: {"):
        return ""
    choices = json.loads(line[6:])["choices"]
    return choices[0]["delta"].get("content") or "" if choices else ""


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _user(words: str) -> Message:
    return {"role": "user", "content": words}


def _assistant(words: str) -> Message:
    return {"role": "assistant", "content": words}
