"""A state machine of Hypothesis: stored responses, with a model of what must be in the store.

Run it with `fuzz_stored_responses.py SECONDS`. A test runs it for a few examples.
"""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, rule, run_state_machine_as_test
from scripted import ScriptedBackend, ending, opening, text

from dragoman.backends.base import RunRequest
from dragoman.config.loading import load
from dragoman.core import log
from dragoman.core.errors import Overloaded
from dragoman.core.events import Event
from dragoman.wiring.gateway import build

_FINAL = frozenset({"completed", "failed", "cancelled", "incomplete"})
_WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20).filter(str.strip)
_EXAMPLES, _STEPS = 20, 30


@dataclass(frozen=True)
class Stored:
    """What the model knows of a stored response.

    Attributes:
        id: Its id.
        conversation: The texts that the next request begins with.
        answer: Its own text.
    """

    id: str
    conversation: tuple[str, ...]
    answer: str


class StoredResponsesMachine(RuleBasedStateMachine):
    """Creates, continues, reads and deletes responses, and starts the gateway again on the same files."""

    responses: Bundle[Stored] = Bundle("responses")

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._folder = TemporaryDirectory(prefix="dragoman-machine-")
        self._deleted: list[Stored] = []
        self._fails = False
        self._count = 0
        self._seen: list[str] = []
        self._stack = AsyncExitStack()
        self._runner.run(self._start())

    async def _start(self) -> None:
        options = {"port": 0, "log_level": "off", "state_dir": Path(self._folder.name), "shutdown_grace": 1.0}
        gateway = await self._stack.enter_async_context(
            build(load(options, env_file=None), ScriptedBackend(self._answer))
        )
        transport = httpx.ASGITransport(gateway.app)
        self._http = await self._stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")
        )

    async def _answer(self, request: RunRequest) -> AsyncGenerator[Event, None]:
        """Answer with a text that no other run has, and remember the texts of the request."""
        self._seen = [text for message in request.body["messages"] for text in _texts(message["content"])]
        if self._fails:
            raise Overloaded("scripted")
        self._count += 1
        for event in (*opening(), text(f"answer {self._count} é😀"), *ending()):
            yield event

    def _request(self, method: str, path: str, **fields: Any) -> httpx.Response:
        return self._runner.run(self._http.request(method, path, **fields))

    def _created(self, words: str, conversation: tuple[str, ...], response: httpx.Response) -> Stored:
        assert response.status_code == 200, response.text
        body = response.json()
        assert self._seen == [*conversation, words]
        answer = f"answer {self._count} é😀"
        assert _answer_in(body) == answer
        return Stored(body["id"], (*conversation, words, answer), answer)

    @rule(target=responses, words=_WORDS)
    def create(self, words: str) -> Stored:
        """Begin a conversation."""
        return self._created(words, (), self._request("POST", "/v1/responses", json={"input": words}))

    @rule(target=responses, words=_WORDS, earlier=responses)
    def go_on(self, words: str, earlier: Stored) -> Any:
        """Continue a conversation. It works while every response of it is stored."""
        body = {"input": words, "previous_response_id": earlier.id}
        response = self._request("POST", "/v1/responses", json=body)
        if response.status_code == 400:
            assert response.json()["error"]["code"] == "previous_response_not_found"
            gone = {deleted.answer for deleted in self._deleted}
            assert gone & set(earlier.conversation)
            return multiple()
        return self._created(words, earlier.conversation, response)

    @rule(target=responses, words=_WORDS)
    def create_in_background(self, words: str) -> Stored:
        """Begin a conversation in the background, and read the response until it has ended."""
        queued = self._request("POST", "/v1/responses", json={"input": words, "background": True}).json()
        assert queued["status"] in {"queued", "in_progress"}
        while (body := self._request("GET", f"/v1/responses/{queued['id']}").json())["status"] not in _FINAL:
            pass
        answer = f"answer {self._count} é😀"
        assert (body["status"], _answer_in(body)) == ("completed", answer)
        return Stored(body["id"], (words, answer), answer)

    @rule(words=_WORDS)
    def fail(self, words: str) -> None:
        """Claude fails: the client gets an error, and nothing is in the store."""
        self._fails = True
        response = self._request("POST", "/v1/responses", json={"input": words})
        self._fails = False
        assert (response.status_code, response.json()["error"]["code"]) == (503, "overloaded")

    @rule(stored=responses)
    def read(self, stored: Stored) -> None:
        """A stored response has its own text."""
        body = self._request("GET", f"/v1/responses/{stored.id}").json()
        assert _answer_in(body) == stored.answer

    @rule(stored=responses)
    def list_items(self, stored: Stored) -> None:
        """The items of a response are the conversation before it."""
        response = self._request("GET", f"/v1/responses/{stored.id}/input_items?limit=100&order=asc")
        if response.status_code == 200:
            found = [text for item in response.json()["data"] for text in _texts(item["content"])]
            assert found == list(stored.conversation[:-1])[: len(found)]

    @rule(stored=consumes(responses))
    def delete(self, stored: Stored) -> None:
        """A deleted response is gone."""
        assert self._request("DELETE", f"/v1/responses/{stored.id}").status_code == 200
        assert self._request("GET", f"/v1/responses/{stored.id}").status_code == 404
        self._deleted.append(stored)

    @rule()
    def start_again(self) -> None:
        """Another gateway on the same files has the same responses."""
        self._runner.run(self._stack.aclose())
        self._runner.run(self._start())

    def teardown(self) -> None:
        """End the gateway."""
        self._runner.run(self._stack.aclose())
        self._runner.close()
        self._folder.cleanup()


def _texts(content: Any) -> list[str]:
    return [content] if isinstance(content, str) else [block["text"] for block in content]


def _answer_in(body: Any) -> str:
    return "".join(part["text"] for item in body["output"] for part in item["content"])


def run_machine(machine: type[RuleBasedStateMachine], *, examples: int, steps: int) -> None:
    """Run a machine with new random choices. A finding is raised, with the program that repeats it."""
    profile = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=profile)


def main(machine: type[RuleBasedStateMachine] = StoredResponsesMachine) -> None:
    """Run a machine until the time is over."""
    log.configure(lambda *_: None, log.RANKS["critical"])
    deadline = time.monotonic() + float(sys.argv[1])
    examples = 0
    while time.monotonic() < deadline:
        run_machine(machine, examples=_EXAMPLES, steps=_STEPS)
        examples += _EXAMPLES
    print(f"stat::number_of_executed_units: {examples}")


if __name__ == "__main__":
    main()
