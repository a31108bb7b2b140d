"""The clients of `make proof ARGS=--cluster`: they repeat requests that failed, and take up streams that were cut."""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import httpx
from clusters import Cluster

_CHAT, _RESPONSES = "/v1/chat/completions", "/v1/responses"
_GIVE_UP_SECONDS = 180.0
_PAUSE_SECONDS, _LONG_PAUSE_SECONDS, _SHORT_PAUSES = 0.3, 1.0, 10
_MAX_TOKENS = 200
_OK = 200
_PARAMETERS = {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}
_TOOL = {"type": "function", "function": {"name": "lookup", "parameters": _PARAMETERS}}
_NUMBER = re.compile(r"\bn(\d+)\b")
_AWAY = frozenset({502, 503, 504})
_BUSY = frozenset({"idempotent_request_in_progress", "rate_limit_exceeded"})
"""Codes of other errors of requests that are repeated with the same key."""
EXPLAINED = frozenset({"answered", "idempotent_request_interrupted", "insufficient_quota", "job: interrupted"})
"""How a request may end: its response is lost with its node, or the budget is spent. All other ends are faults."""
Job: TypeAlias = asyncio.Task[None]


@dataclass
class Tally:
    """How the requests ended.

    Attributes:
        outcomes: How many requests ended in each way.
        wrong: Requests whose answer was that of another, or not complete.
        lost: Requests that got no answer and no final error.
        details: What is known of requests that are a fault.
        repeated: How often a request was sent again, or a stream taken up again.
        faults: How often each fault was made.
        under_way: What is under way now: the kind of each request, and the node that answers it.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    repeated: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    under_way: dict[int, tuple[str, int]] = field(default_factory=dict)


def call_of(body: object) -> tuple[int, int]:
    """Return the number of the request that a call of Claude belongs to, and the number of the turn."""
    messages = cast("Any", body)["messages"]
    found = _NUMBER.search(json.dumps(messages[0]["content"]))
    return int(found[1]) if found else -1, len(messages)


@dataclass
class Streamed:
    """A message that was streamed.

    Attributes:
        text: Its text.
        call: The id of its tool call.
        arguments: The arguments of the call.
    """

    text: str = ""
    call: str = ""
    arguments: str = ""

    def add(self, chunk: Any) -> str:
        """Add a chunk. Return the code of its error, if it is one."""
        if "error" in chunk:
            return str(chunk["error"]["code"])
        for choice in chunk["choices"]:
            delta = choice["delta"]
            self.text += delta.get("content") or ""
            for call in delta.get("tool_calls") or ():
                self.call = call.get("id") or self.call
                self.arguments += call["function"].get("arguments") or ""
        return ""


class Client:
    """Sends the requests of one client, one after the other.

    Args:
        made: The cluster.
        key: The header with its key.
        seed: The seed of all choices.
        tally: Gets how they ended.
        jobs: Gets the tasks that wait for background responses. The caller awaits them.
    """

    def __init__(self, made: Cluster, key: Mapping[str, str], seed: int, tally: Tally, jobs: set[Job]) -> None:
        self._made = made
        self._key = key
        self._seed = seed
        self._tally = tally
        self._jobs = jobs
        self._kinds: dict[str, Callable[[int], Awaitable[str]]] = {
            "plain response": self._plain,
            "stream": self._streamed,
            "tool call": self._tool_call,
            "job": self._start_job,
        }

    async def send_all(self, numbers: Iterator[int]) -> None:
        """Send requests until there are no more numbers."""
        for number in numbers:
            rng = random.Random(f"{self._seed}/{number}")  # noqa: S311 - repeatable on purpose
            kind = rng.choices(list(self._kinds), (2, 2, 1, 1))[0]
            await self._end(number, self._kinds[kind](number))

    async def _end(self, number: int, work: Awaitable[str]) -> None:
        """Wait for the end of a request, and count it. A job that was started is counted when it ends."""
        try:
            async with asyncio.timeout(_GIVE_UP_SECONDS):
                outcome = await work
        except TimeoutError:
            outcome = "lost"
            self._tally.lost.append(number)
        if outcome:
            self._tally.outcomes[outcome] += 1
        if outcome not in {*EXPLAINED, "wrong", ""}:
            self._tally.details.append(f"{number} ends with {outcome}")

    async def _plain(self, number: int) -> str:
        answer = await self._send(_CHAT, _chat(number), f"{number}", "plain response")
        return answer if isinstance(answer, str) else self._judge(number, _message(answer)["content"])

    async def _streamed(self, number: int) -> str:
        answer = await self._stream({**_chat(number, pace=0.01), "stream": True}, f"{number}", "stream")
        return answer if isinstance(answer, str) else self._judge(number, answer.text)

    async def _tool_call(self, number: int) -> str:
        """Have Claude call a tool, and send its result: two turns, which may be answered by different nodes."""
        ask = {"role": "user", "content": f'Call lookup with "n{number}"\nSimulate: pace 0.05'}
        body = {"model": "haiku", "messages": [ask], "max_tokens": _MAX_TOKENS, "tools": [_TOOL]}
        first = await self._stream({**body, "stream": True}, f"{number}-call", "tool call")
        if isinstance(first, str):
            return first
        if f"n{number}" not in first.arguments:
            return self._judge(number, "")
        call = {"id": first.call, "type": "function", "function": {"name": "lookup", "arguments": first.arguments}}
        message = {"role": "assistant", "content": first.text or None, "tool_calls": [call]}
        result = {"role": "tool", "tool_call_id": first.call, "content": " ".join([f"n{number}"] * 20)}
        turn = {**body, "messages": [ask, message, result]}
        second = await self._send(_CHAT, turn, f"{number}-result", "tool call")
        if isinstance(second, str):
            return second
        return self._judge(number, str(_message(second)["content"]).removeprefix("The tool said: "))

    async def _start_job(self, number: int) -> str:
        """Start a background response. A task of its own waits for it, as the client need not."""
        prompt = _prompt(number, pace=0.01)
        body = {"model": "haiku", "input": prompt, "max_output_tokens": _MAX_TOKENS, "background": True}
        answer = await self._send(_RESPONSES, body, f"{number}", "job")
        if isinstance(answer, str):
            return answer
        node = self._made.node_at(_address(answer))
        task = asyncio.create_task(self._end(number, self._wait_for_job(number, answer.json(), node)))
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        return ""

    async def _wait_for_job(self, number: int, response: Any, node: int) -> str:
        with self._under_way(number, "job", node):
            async for pause in _pauses():
                with suppress(httpx.TransportError):
                    polled = await self._made.http.get(f"{_RESPONSES}/{response['id']}", headers=self._key)
                    if polled.status_code == _OK:
                        response = polled.json()
                if response["status"] not in {"queued", "in_progress"}:
                    break
                await asyncio.sleep(pause)
        if response["status"] == "completed":
            return self._judge(number, response["output"][0]["content"][0]["text"])
        error = response["error"] or {}
        lost = "The gateway stopped before this response was complete" in str(error.get("message"))
        return "job: interrupted" if lost else f"job: {response['status']}: {error}"

    def _judge(self, number: int, text: str) -> str:
        if text.split() != [f"n{number}"] * 20:
            self._tally.wrong.append(number)
            self._tally.details.append(f"{number} is wrong: {text[:200]!r}")
            return "wrong"
        return "answered"

    async def _send(self, path: str, body: dict[str, Any], key: str, kind: str) -> httpx.Response | str:
        """Send a request until it has an end. Return the response, or the code of its error."""
        headers = {**self._key, "idempotency-key": f"key-{key}"}
        async for pause in _pauses():
            with suppress(httpx.TransportError), self._under_way(int(key.partition("-")[0]), kind):
                answer = await self._made.http.post(path, json=body, headers=headers)
                if answer.status_code == _OK:
                    return answer
                if refusal := self._final(answer):
                    return refusal
            self._tally.repeated += 1
            await asyncio.sleep(pause)
        raise AssertionError

    async def _stream(self, body: dict[str, Any], key: str, kind: str) -> "Streamed | str":
        """Read a stream to its end. Return its message, or the code of its error."""
        message, last = Streamed(), ""
        async for pause in _pauses():
            headers = {**self._key, "idempotency-key": f"key-{key}"} | ({"last-event-id": last} if last else {})
            try:
                async with self._made.http.stream("POST", _CHAT, json=body, headers=headers) as stream:
                    if stream.status_code != _OK:
                        await stream.aread()
                        if refusal := self._final(stream):
                            return refusal
                    else:
                        node = self._made.node_at(_address(stream))
                        with self._under_way(int(key.partition("-")[0]), kind, node):
                            async for id_, data in _events(stream):
                                last = id_ or last
                                if data == "[DONE]":
                                    return message
                                if error := message.add(json.loads(data)):
                                    return f"in the stream: {error}"
            except httpx.TransportError:
                pass
            self._tally.repeated += 1
            await asyncio.sleep(pause)
        raise AssertionError

    def _final(self, answer: httpx.Response) -> str:
        """Return the code of an error that stays; "" if the request may be repeated with the same key."""
        if answer.status_code in _AWAY:
            return ""
        error = answer.json()["error"]
        code = str(error["code"])
        if code in _BUSY:
            return ""
        if code not in EXPLAINED:
            self._tally.details.append(f"{answer.status_code}: {error['message']}")
        return code

    @contextmanager
    def _under_way(self, number: int, kind: str, node: int = -1) -> Iterator[None]:
        self._tally.under_way[number] = kind, node
        try:
            yield
        finally:
            self._tally.under_way.pop(number, None)


async def _pauses() -> AsyncIterator[float]:
    """Yield the seconds to wait after each attempt."""
    attempt = 0
    while True:
        yield _PAUSE_SECONDS if attempt < _SHORT_PAUSES else _LONG_PAUSE_SECONDS
        attempt += 1


async def _events(stream: httpx.Response) -> AsyncIterator[tuple[str, str]]:
    """Yield the id of each event that is complete, "" if it has none, and its data."""
    event: dict[str, str] = {}
    async for line in stream.aiter_lines():
        name, _, value = line.partition(": ")
        if line:
            event[name] = value
            continue
        if "data" in event:
            yield event.get("id", ""), event["data"]
        event = {}


def _prompt(number: int, pace: float = 0.0) -> str:
    return f"Repeat 20 times: n{number}" + (f"\nSimulate: pace {pace}" if pace else "")


def _chat(number: int, pace: float = 0.0) -> dict[str, Any]:
    messages = [{"role": "user", "content": _prompt(number, pace)}]
    return {"model": "haiku", "messages": messages, "max_tokens": _MAX_TOKENS}


def _message(answer: httpx.Response) -> Any:
    return answer.json()["choices"][0]["message"]


def _address(answer: httpx.Response) -> str:
    """Return the address of the node that answered: the last one that the load balancer tried."""
    return str(answer.headers["x-node"]).rpartition(", ")[2]
