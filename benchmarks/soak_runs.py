"""The requests of the soak test: complete, cancelled, refused and failed ones, disconnects, and killed processes."""

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
_ENDLESS = " Count to 9\nSimulate: silence after 2"
"""Makes a stream that begins and never ends."""
_PARAMETERS = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
_TOOLS = {"tools": [{"type": "function", "function": {"name": "look_up", "parameters": _PARAMETERS}}]}
_EXPECTED = frozenset({"answered", "disconnected"})


class Soak:
    """A client that sends random requests, also as a bad client does.

    Args:
        gateway: The gateway.
        rng: Chooses the requests, and the times of disconnects.
    """

    def __init__(self, gateway: Served, rng: random.Random) -> None:
        self._gateway = gateway
        self._rng = rng
        self._number = 0
        self._no_tls = ssl.SSLContext(
            ssl.PROTOCOL_TLS_CLIENT
        )  # otherwise each client would read the system's certificates
        self._conversations: list[list[Message]] = []
        self._kinds: Mapping[str, tuple[int, Callable[[], Awaitable[Outcome]], frozenset[Outcome]]] = {
            "plain": (18, self.plain, _EXPECTED),
            "streamed": (14, self._streamed, _EXPECTED),
            "next turn": (30, self._next_turn, _EXPECTED),
            "tool result": (6, self._tool_result, _EXPECTED),
            "tool call without result": (3, self._tool_call, _EXPECTED),
            "client disconnects in a stream": (7, self._disconnect_in_stream, _EXPECTED),
            "client disconnects before the response": (6, self._disconnect, _EXPECTED),
            "cancelled": (5, self._cancelled, _EXPECTED | {"run_cancelled"}),
            "refused": (4, self._refused, frozenset({"invalid_type"})),
            "fails at the API": (4, self._fails, frozenset({"insufficient_quota"})),
            "fails in mid-stream": (3, self._fails_later, frozenset({"overloaded", "upstream_error"})),
            "process killed": (4, self._killed, _EXPECTED),
        }

    async def next(self) -> tuple[str, Outcome, bool]:
        """Send the next request. Return its kind, its outcome, and whether the outcome is expected.

        Processes are killed at random, so any request can fail with `runtime_failed`.
        """
        kinds = list(self._kinds)
        [kind] = self._rng.choices(kinds, [self._kinds[name][0] for name in kinds])
        _, send, expected = self._kinds[kind]
        try:
            outcome = await send()
        except httpx.HTTPError as error:
            outcome = type(error).__name__
        return kind, outcome, outcome in expected | {"runtime_failed"}

    async def plain(self) -> Outcome:
        """Send a new conversation, and read the response."""
        return await self._complete([_user(self._prompt())])

    async def _streamed(self) -> Outcome:
        return await self._read([_user(f"{self._prompt()} Count to 20")])

    async def _next_turn(self) -> Outcome:
        """Send the next turn of a conversation. Long conversations are replaced by new ones."""
        full = len(self._conversations) >= _CONVERSATIONS
        messages = self._conversations.pop(0) if full else []
        messages = [*messages, _user(self._prompt())]
        answer = await self._post(_body(messages))
        if answer.is_success and len(messages) < 2 * _TURNS:
            self._conversations.append([*messages, _message(answer)])
        return _outcome(answer)

    async def _tool_call(self) -> Outcome:
        return _outcome(await self._post(_body([self._tool_prompt()]) | _TOOLS))

    async def _tool_result(self) -> Outcome:
        prompt = self._tool_prompt()
        answer = await self._post(_body([prompt]) | _TOOLS)
        if not (calls := _calls(call := _message(answer))):
            return "no tool call" if answer.is_success else _outcome(answer)
        results: list[Message] = [{"role": "tool", "tool_call_id": name, "content": "found"} for name in calls]
        return _outcome(await self._post(_body([prompt, call, *results]) | _TOOLS))

    async def _disconnect_in_stream(self) -> Outcome:
        return await self._after_start(lambda: None)

    async def _disconnect(self) -> Outcome:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._rng.uniform(0, 0.8)):
                await self._post(_body([_user(f"{self._prompt()}\nSimulate: silence")]))
        return "disconnected"

    async def _cancelled(self) -> Outcome:
        """Cancel a stream with the admin API."""
        body = _body([_user(f"{self._prompt()}{_ENDLESS}")], stream=True)
        async with self._client() as http, http.stream("POST", "/v1/chat/completions", json=body) as answer:
            lines = answer.aiter_lines()
            if answer.is_success:
                await anext(lines)
                done = await http.post(f"/admin/runs/{answer.headers['x-dragoman-run-id']}/cancel")
                if not (done.is_success or done.status_code == httpx.codes.CONFLICT):  # killed before
                    return f"cancelling returned {done.status_code}"
            return _end_of([line async for line in lines])

    async def _refused(self) -> Outcome:
        return _outcome(await self._post({"model": _MODEL, "messages": "none"}))

    async def _fails(self) -> Outcome:
        return await self._complete([_user(f"{self._prompt()}\nSimulate: status 402")])

    async def _fails_later(self) -> Outcome:
        return await self._read([_user(f"{self._prompt()} Count to 9\nSimulate: error after 3")])

    async def _killed(self) -> Outcome:
        """Kill any process: a warm one, one that waits for a next turn, or one that runs a request."""
        return await self._after_start(self._kill)

    def _kill(self) -> None:
        """Kill a runtime process of this gateway. A pidfd is used, because a process id can be reused."""
        if not (pids := sorted(self._gateway.runtimes())):
            return
        pid = self._rng.choice(pids)
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            try:
                if pid in set(children_of(self._gateway.pid)):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            finally:
                os.close(handle)

    def _prompt(self) -> str:
        self._number += 1
        return f"This is question {self._number}."

    def _tool_prompt(self) -> Message:
        return _user(f'{self._prompt()} Use look_up with "dragoman"')

    async def _complete(self, messages: list[Message]) -> Outcome:
        return _outcome(await self._post(_body(messages)))

    async def _read(self, messages: list[Message]) -> Outcome:
        body = _body(messages, stream=True)
        async with self._client() as http, http.stream("POST", "/v1/chat/completions", json=body) as answer:
            return _end_of([line async for line in answer.aiter_lines()])

    async def _after_start(self, action: Callable[[], None]) -> Outcome:
        """Start a stream, run `action`, and disconnect."""
        body = _body([_user(f"{self._prompt()}{_ENDLESS}")], stream=True)
        async with self._client() as http, http.stream("POST", "/v1/chat/completions", json=body) as answer:
            if not answer.is_success:
                return _end_of([line async for line in answer.aiter_lines()])
            await anext(answer.aiter_lines())
            action()
            return "disconnected"

    async def _post(self, body: Mapping[str, object]) -> httpx.Response:
        async with self._client() as http:
            return await http.post("/v1/chat/completions", json=body)

    def _client(self) -> httpx.AsyncClient:
        """Return a client with a connection of its own, which the client closes."""
        address = f"http://127.0.0.1:{self._gateway.port}"
        return httpx.AsyncClient(base_url=address, timeout=_TIMEOUT, verify=self._no_tls)


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _body(messages: list[Message], *, stream: bool = False) -> dict[str, object]:
    return {"model": _MODEL, "messages": messages, "stream": stream}


def _message(answer: httpx.Response) -> Message:
    """Return the assistant's message; empty if the response is an error."""
    choices = answer.json().get("choices") or [{"message": {}}]
    return cast("Message", choices[0]["message"])


def _calls(message: Message) -> list[str]:
    return [call["id"] for call in cast("list[dict[str, str]]", message.get("tool_calls") or [])]


def _outcome(answer: httpx.Response) -> Outcome:
    return _end_of([answer.text])


def _end_of(lines: list[str]) -> Outcome:
    """Return how a response ended, by its last line: the code of an error, or `answered`."""
    last = next((line.removeprefix("data: ") for line in reversed(lines) if line), "nothing")
    if last == "[DONE]":
        return "answered"
    try:
        value = json.loads(last)
    except ValueError:
        return f"ended in {last[:40]}"
    return str(value["error"]["code"]) if "error" in value else "answered"
