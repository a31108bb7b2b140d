"""The kinds of requests of the soak: asked to the end, left, cancelled, refused, failed, and with processes killed."""

import asyncio
import contextlib
import json
import os
import random
import signal
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias, cast

import httpx

from servers import Served, children_of

Message: TypeAlias = dict[str, object]
Outcome: TypeAlias = str

_MODEL = "claude-sonnet-5-5"
_TIMEOUT = 120.0
_CONVERSATIONS = 6
_TURNS = 6
_HELD = " Count to 9\nSimulate: silence after 2"
"""A stream that begins and never ends."""
_WORD = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
_TOOLS = {"tools": [{"type": "function", "function": {"name": "look_up", "parameters": _WORD}}]}
_FINE = frozenset({"answered", "left"})


class Soak:
    """A client that does what clients do, the bad ones too.

    Args:
        gateway: Whom to ask.
        chance: Decides what comes next, and when a client loses patience.
    """

    def __init__(self, gateway: Served, chance: random.Random) -> None:
        self._gateway = gateway
        self._chance = chance
        self._number = 0
        self._no_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # else each client would read the system's certificates
        self._conversations: list[list[Message]] = []
        self._kinds: Mapping[str, tuple[int, Callable[[], Awaitable[Outcome]], frozenset[Outcome]]] = {
            "plain": (18, self.plain, _FINE),
            "streamed": (14, self._streamed, _FINE),
            "next turn": (30, self._next_turn, _FINE),
            "tool result": (6, self._tool_result, _FINE),
            "tool call without result": (3, self._tool_call, _FINE),
            "client leaves a stream": (7, self._leaves_stream, _FINE),
            "client leaves before the answer": (6, self._leaves, _FINE),
            "cancelled": (5, self._cancelled, _FINE | {"run_cancelled"}),
            "refused": (4, self._refused, frozenset({"invalid_type"})),
            "fails at the API": (4, self._fails, frozenset({"insufficient_quota"})),
            "fails in mid-stream": (3, self._fails_later, frozenset({"overloaded", "upstream_error"})),
            "process killed": (4, self._killed, _FINE),
        }

    async def next(self) -> tuple[str, Outcome, bool]:
        """Ask the next one: its kind, what came of it, and whether that may be.

        Where processes are killed at random, any other run may lose its own to that.
        """
        kinds = list(self._kinds)
        [kind] = self._chance.choices(kinds, [self._kinds[name][0] for name in kinds])
        _, ask, fine = self._kinds[kind]
        try:
            outcome = await ask()
        except httpx.HTTPError as error:
            outcome = type(error).__name__
        return kind, outcome, outcome in fine | {"runtime_failed"}

    async def plain(self) -> Outcome:
        """A new conversation, read whole."""
        return await self._whole([_user(self._words())])

    async def _streamed(self) -> Outcome:
        return await self._read([_user(f"{self._words()} Count to 20")])

    async def _next_turn(self) -> Outcome:
        """A conversation's next turn; long ones make room for new ones."""
        full = len(self._conversations) >= _CONVERSATIONS
        messages = self._conversations.pop(0) if full else []
        messages = [*messages, _user(self._words())]
        answer = await self._post(_body(messages))
        if answer.is_success and len(messages) < 2 * _TURNS:
            self._conversations.append([*messages, _message(answer)])
        return _outcome(answer)

    async def _tool_call(self) -> Outcome:
        return _outcome(await self._post(_body([self._tool_question()]) | _TOOLS))

    async def _tool_result(self) -> Outcome:
        question = self._tool_question()
        answer = await self._post(_body([question]) | _TOOLS)
        if not (calls := _calls(call := _message(answer))):
            return "no tool call" if answer.is_success else _outcome(answer)
        results: list[Message] = [{"role": "tool", "tool_call_id": name, "content": "found"} for name in calls]
        return _outcome(await self._post(_body([question, call, *results]) | _TOOLS))

    async def _leaves_stream(self) -> Outcome:
        return await self._begun(lambda: None)

    async def _leaves(self) -> Outcome:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._chance.uniform(0, 0.8)):
                await self._post(_body([_user(f"{self._words()}\nSimulate: silence")]))
        return "left"

    async def _cancelled(self) -> Outcome:
        """Cancelled over the admin API, in mid-stream."""
        body = _body([_user(f"{self._words()}{_HELD}")], stream=True)
        async with self._client() as http, http.stream("POST", "/v1/chat/completions", json=body) as answer:
            lines = answer.aiter_lines()
            if answer.is_success:
                await anext(lines)
                done = await http.post(f"/admin/runs/{answer.headers['x-dragoman-run-id']}/cancel")
                if not (done.is_success or done.status_code == httpx.codes.CONFLICT):  # killed before
                    return f"cancelling is answered by {done.status_code}"
            return _end_of([line async for line in lines])

    async def _refused(self) -> Outcome:
        return _outcome(await self._post({"model": _MODEL, "messages": "none"}))

    async def _fails(self) -> Outcome:
        return await self._whole([_user(f"{self._words()}\nSimulate: status 402")])

    async def _fails_later(self) -> Outcome:
        return await self._read([_user(f"{self._words()} Count to 9\nSimulate: error after 3")])

    async def _killed(self) -> Outcome:
        """Any process may be hit: a spare, one that waits for a next turn, or one that answers somebody."""
        return await self._begun(self._kill)

    def _kill(self) -> None:
        """Kill a runtime process of this gateway, and no other: by a handle, which outlives its number."""
        if not (pids := sorted(self._gateway.runtimes())):
            return
        pid = self._chance.choice(pids)
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            try:
                if pid in set(children_of(self._gateway.pid)):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            finally:
                os.close(handle)

    def _words(self) -> str:
        self._number += 1
        return f"This is question {self._number}."

    def _tool_question(self) -> Message:
        return _user(f'{self._words()} Use look_up with "dragoman"')

    async def _whole(self, messages: list[Message]) -> Outcome:
        return _outcome(await self._post(_body(messages)))

    async def _read(self, messages: list[Message]) -> Outcome:
        body = _body(messages, stream=True)
        async with self._client() as http, http.stream("POST", "/v1/chat/completions", json=body) as answer:
            return _end_of([line async for line in answer.aiter_lines()])

    async def _begun(self, then: Callable[[], None]) -> Outcome:
        """Leave a stream once it has begun and `then` is done."""
        body = _body([_user(f"{self._words()}{_HELD}")], stream=True)
        async with self._client() as http, http.stream("POST", "/v1/chat/completions", json=body) as answer:
            if not answer.is_success:
                return _end_of([line async for line in answer.aiter_lines()])
            await anext(answer.aiter_lines())
            then()
            return "left"

    async def _post(self, body: Mapping[str, object]) -> httpx.Response:
        async with self._client() as http:
            return await http.post("/v1/chat/completions", json=body)

    def _client(self) -> httpx.AsyncClient:
        """A connection of its own for each request, which the client closes."""
        address = f"http://127.0.0.1:{self._gateway.port}"
        return httpx.AsyncClient(base_url=address, timeout=_TIMEOUT, verify=self._no_tls)


def _user(words: str) -> Message:
    return {"role": "user", "content": words}


def _body(messages: list[Message], *, stream: bool = False) -> dict[str, object]:
    return {"model": _MODEL, "messages": messages, "stream": stream}


def _message(answer: httpx.Response) -> Message:
    """The assistant's message; empty where the answer is an error."""
    choices = answer.json().get("choices") or [{"message": {}}]
    return cast("Message", choices[0]["message"])


def _calls(message: Message) -> list[str]:
    return [call["id"] for call in cast("list[dict[str, str]]", message.get("tool_calls") or [])]


def _outcome(answer: httpx.Response) -> Outcome:
    return _end_of([answer.text])


def _end_of(lines: list[str]) -> Outcome:
    """How an answer ended, by its last words: an error's code, or that it came whole."""
    last = next((line.removeprefix("data: ") for line in reversed(lines) if line), "nothing")
    if last == "[DONE]":
        return "answered"
    try:
        said = json.loads(last)
    except ValueError:
        return f"ended in {last[:40]}"
    return str(said["error"]["code"]) if "error" in said else "answered"
