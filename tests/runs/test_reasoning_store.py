"""Thinking stored between the requests of a conversation, checked by the simulated API's own rules."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import httpx
import pytest

from dragoman.core.catalog import Catalog, Model
from dragoman.core.messages import Block, FinalMessage, JSONObject, Message, MessagesRequest
from dragoman.runs.reasoning_store import ReasoningStore, Restored, without_orphan_thinking
from dragoman.simulator.server import Simulator
from dragoman.stores.base import KeyValueStore
from dragoman.stores.sqlite.key_values import SQLiteKeyValueStore

TOOL: JSONObject = {"name": "look", "description": "Look", "input_schema": {"type": "object"}}
BOUND = "claude-opus-5-5"
MANUAL = "claude-sonnet-4-5"
HEADERS = {"x-api-key": "sk-ant-dummy", "anthropic-version": "2023-06-01"}


class Values:
    """A store in memory that records its calls.

    Attributes:
        values: The stored values.
        lookups: The number of calls of `get`.
    """

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.lookups = 0

    async def get(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Return the values."""
        self.lookups += 1
        return {name: self.values[name] for name in names if name in self.values}

    def is_empty(self) -> bool:
        """Return whether there are no values."""
        return not self.values

    async def put(self, name: str, value: bytes) -> None:
        """Store a value."""
        self.values[name] = value

    async def aclose(self) -> None:
        """Do nothing: nothing is open."""


class Api:
    """The simulated API behind a store of thinking."""

    def __init__(self, url: str, values: KeyValueStore) -> None:
        self._client = httpx.AsyncClient(base_url=url, headers=HEADERS, timeout=300)
        self.values = values
        self.thinking = ReasoningStore(values, "me")
        self.warnings: tuple[str, ...] = ()
        self.sent: list[Message] = []

    async def send(self, messages: list[Message], model: str, **fields: object) -> FinalMessage:
        """Send a request as the engine does, and return the response. A rejection fails the test."""
        body = cast("MessagesRequest", {"model": model, "messages": messages, "max_tokens": 9000, "tools": [TOOL]})
        if model == MANUAL:
            body["thinking"] = {"type": "enabled", "budget_tokens": 2000}
        restored = await self.thinking.restore(cast("MessagesRequest", {**body, **fields}), _model(model))
        self.warnings = tuple(warning.code for warning in restored.warnings)
        self.sent = restored.body["messages"]
        response = await self._client.post("/v1/messages", json=restored.body)
        assert response.status_code == 200, response.text
        message = cast("FinalMessage", response.json())
        await self.thinking.store(restored, message)
        return message

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()


def _model(name: str) -> Model:
    return Catalog().resolve(name).model


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """Return an API with an empty store."""
    values = SQLiteKeyValueStore(tmp_path / "thinking.db", ttl=60, entries=100)
    async with Simulator() as simulator:
        api = Api(simulator.url, values)
        yield api
        await api.aclose()
    await values.aclose()


def user(text: str) -> Message:
    """Return a user message."""
    return Message(role="user", content=[{"type": "text", "text": text}])


def results(response: FinalMessage) -> Message:
    """Return a result for each tool call."""
    blocks: list[Block] = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "seen"}
        for block in response["content"]
        if block["type"] == "tool_use"
    ]
    assert blocks
    return Message(role="user", content=blocks)


def as_clients_send(response: FinalMessage) -> Message:
    """Return a response without its thinking."""
    content = [block for block in response["content"] if "thinking" not in str(block["type"])]
    assert content
    assert len(content) < len(response["content"]), "the model did not think"
    return Message(role="assistant", content=content)


@pytest.mark.parametrize("model", [BOUND, MANUAL, "claude-sonnet-5-5"])
@pytest.mark.parametrize("extra", ["", "\nSimulate: redacted thinking"], ids=["plain", "redacted"])
async def test_a_conversation_without_its_thinking_gets_it_back(api: Api, model: str, extra: str) -> None:
    """In turns of text and of tools, block for block."""
    messages = [user(f"Think: hello{extra}")]
    first = await api.send(messages, model)
    messages += [as_clients_send(first), user(f"Think, then call look with {{}}{extra}")]
    second = await api.send(messages, model)
    messages += [as_clients_send(second), results(second)]
    await api.send(messages, model)
    assert api.warnings == ()
    assert api.sent[1]["content"] == first["content"]
    assert api.sent[3]["content"] == second["content"]


async def test_thinking_between_texts_is_restored_between_them(api: Api) -> None:
    """Chat clients send the texts of a response as one. Thinking after both texts would be rejected."""
    request: MessagesRequest = {"model": BOUND, "messages": [user("Why?")]}
    content: list[Block] = [
        {"type": "thinking", "thinking": "", "signature": "1"},
        {"type": "text", "text": "So. "},
        {"type": "thinking", "thinking": "", "signature": "2"},
        {"type": "text", "text": "And so."},
    ]
    await api.thinking.store(Restored(request), {"content": content})
    returned = Message(role="assistant", content=[{"type": "text", "text": "So. And so."}])
    next_request: MessagesRequest = {"model": BOUND, "messages": [user("Why?"), returned, user("Continue")]}
    restored = await api.thinking.restore(next_request, _model(BOUND))
    assert restored.body["messages"][1]["content"] == content


async def test_a_changed_conversation_loses_all_its_thinking_with_a_warning(api: Api) -> None:
    """If an earlier response's thinking is lost, the later one's is invalid: the API would reject it."""
    messages = [user("Think: hello")]
    first = await api.send(messages, BOUND)
    messages += [as_clients_send(first), user("Think, then call look with {}")]
    second = await api.send(messages, BOUND)
    api.thinking = ReasoningStore(_Forgetful(api.values, 0), "me")
    await api.send([*messages, as_clients_send(second), results(second)], BOUND)
    assert api.warnings == ("left_out",)
    assert all(block["type"] != "thinking" for message in api.sent for block in message["content"])


async def test_an_edited_conversation_gets_no_thinking_and_is_accepted(api: Api) -> None:
    """The model did not think in the edited conversation."""
    first = await api.send([user("Think, then call look with {}")], BOUND)
    await api.send([user("Think now, then call look with {}"), as_clients_send(first), results(first)], BOUND)
    assert all(block["type"] != "thinking" for message in api.sent for block in message["content"])


@pytest.mark.parametrize(
    "change", [{"system": [{"type": "text", "text": "B"}]}, {"tools": [TOOL, {**TOOL, "name": "b"}]}]
)
async def test_another_system_prompt_or_tools_are_another_conversation(api: Api, change: JSONObject) -> None:
    """Bound thinking depends on them."""
    first = await api.send([user("Think, then call look with {}")], BOUND)
    messages = [user("Think, then call look with {}"), as_clients_send(first), results(first)]
    await api.send(messages, BOUND, **change)
    assert all(block["type"] != "thinking" for message in api.sent for block in message["content"])


async def test_lost_thinking_turns_manual_thinking_off_with_a_warning(api: Api) -> None:
    """The API rejects a tool result whose call comes without its thinking."""
    first = await api.send([user("Think, then call look with {}")], MANUAL)
    api.thinking = ReasoningStore(api.values, "another account")
    await api.send([user("Think, then call look with {}"), as_clients_send(first), results(first)], MANUAL)
    assert api.warnings == ("ignored",)


async def test_thinking_that_the_client_sends_back_stays(api: Api) -> None:
    """Nothing is inserted twice."""
    first = await api.send([user("Think, then call look with {}")], BOUND)
    complete = Message(role="assistant", content=first["content"])
    await api.send([user("Think, then call look with {}"), complete, results(first)], BOUND)
    assert api.sent[1] == complete


CONTENT: list[Block] = [
    {"type": "thinking", "thinking": "Hm", "signature": "s1"},
    {"type": "text", "text": "So. "},
    {"type": "thinking", "thinking": "", "signature": "s2"},
    {"type": "text", "text": "And so."},
    {"type": "tool_use", "id": "t1", "name": "look", "input": {"b": 1, "a": [2]}},
]
STORED = {
    "6727fb598e1c24c72c7b40b35dea9817bd2ee3edf2a3359c0b4aec220778dc6d": (
        b'["fc932ae805c548d7d801c042844ed3eaf0491b7a090ca5b1d05771d988ab8cda",'
        b'[{"type":"thinking","thinking":"Hm","signature":"s1"},4,'
        b'{"type":"thinking","thinking":"","signature":"s2"},7,null]]'
    ),
    "c332019209805b11e2003be85f39f6cf601026d4cd9b68f6fc11e88faf4479e5": (
        b'["99b91608ef15573a5cb70bfb3235d6a395850080155a16aa1ec9f9b246ec17bd",'
        b'[{"type":"redacted_thinking","data":"x"},4]]'
    ),
}
"""What version 0.1.0 stored of the conversation below."""


def _stored_conversation() -> MessagesRequest:
    question: Block = {"type": "text", "text": "Größe?", "cache_control": {"type": "ephemeral"}}
    bare: list[Block] = [{"type": "text", "text": "So. And so."}, CONTENT[4]]
    result: Block = {"type": "tool_result", "tool_use_id": "t1", "content": "seen"}
    return {
        "model": BOUND,
        "system": [{"type": "text", "text": "Be brief."}],
        "tools": [TOOL],
        "messages": [
            Message(role="user", content=[question]),
            Message(role="assistant", content=bare),
            Message(role="user", content=[result]),
            Message(role="assistant", content=[{"type": "text", "text": "Done"}]),
            Message(role="user", content=[{"type": "text", "text": "More"}]),
        ],
    }


async def test_thinking_stored_by_an_older_version_is_found() -> None:
    """The names and the encoding of stored thinking are a file format."""
    values = Values()
    values.values = dict(STORED)
    body = _stored_conversation()
    restored = await ReasoningStore(values, "me").restore(body, _model(BOUND))
    assert restored.warnings == ()
    assert restored.body["messages"][1]["content"] == CONTENT
    assert restored.body["messages"][3]["content"][0] == {"type": "redacted_thinking", "data": "x"}


@pytest.mark.parametrize(("client", "finds"), [("local", True), ("key", True), ("bob", False)])
async def test_thinking_of_the_operator_is_not_for_other_clients(client: str, *, finds: bool) -> None:
    """The operator, with or without a key, finds what an older version stored."""
    values = Values()
    values.values = dict(STORED)
    restored = await ReasoningStore(values, "me").restore(_stored_conversation(), _model(BOUND), client)
    assert (restored.body["messages"][1]["content"] == CONTENT) is finds


async def test_thinking_is_stored_under_the_same_names_as_by_an_older_version() -> None:
    """Whether or not earlier thinking had to be restored first: the hashes carried on are those of a fresh start."""
    values = Values()
    thinking = ReasoningStore(values, "me")
    body = _stored_conversation()
    first: MessagesRequest = {**body, "messages": body["messages"][:1]}
    await thinking.store(await thinking.restore(first, _model(BOUND)), {"content": CONTENT})
    assert values.lookups == 0
    second: MessagesRequest = {**body, "messages": body["messages"][:3]}
    restored = await thinking.restore(second, _model(BOUND))
    redacted: Block = {"type": "redacted_thinking", "data": "x"}
    await thinking.store(restored, {"content": [redacted, {"type": "text", "text": "Done"}]})
    assert values.values == STORED


async def test_the_store_is_read_only_if_thinking_is_missing() -> None:
    """A first turn, and a conversation that came with its thinking, need no lookup."""
    values = Values()
    thinking = ReasoningStore(values, "me")
    complete = Message(role="assistant", content=CONTENT)
    for messages in ([user("a")], [user("a"), complete, user("b")]):
        await thinking.restore({"model": BOUND, "messages": messages}, _model(BOUND))
    assert values.lookups == 0
    bare = Message(role="assistant", content=[{"type": "text", "text": "b"}])
    await thinking.restore({"model": BOUND, "messages": [user("a"), bare, user("c")]}, _model(BOUND))
    assert values.lookups == 0, "the store is empty"
    values.values["another"] = b"[]"
    await thinking.restore({"model": BOUND, "messages": [user("a"), bare, user("c")]}, _model(BOUND))
    assert values.lookups == 1


class _Forgetful:
    """A store that has forgotten one of the values that are looked up."""

    def __init__(self, values: KeyValueStore, forgotten: int) -> None:
        self._values = values
        self._forgotten = forgotten

    async def get(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Return all values but one."""
        return await self._values.get([name for index, name in enumerate(names) if index != self._forgotten])

    def is_empty(self) -> bool:
        """Return whether there are no values."""
        return self._values.is_empty()

    async def put(self, name: str, value: bytes) -> None:
        """Store a value."""
        await self._values.put(name, value)

    async def aclose(self) -> None:
        """Do nothing: the owner closes the store."""


def _turn(role: str, *kinds: str) -> Message:
    return {"role": role, "content": [{"type": kind} for kind in kinds]}  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("messages", "refused"),
    [
        ([_turn("user", "text")], False),
        ([_turn("user", "text"), _turn("assistant", "text"), _turn("user", "text")], False),
        ([_turn("assistant", "tool_use"), _turn("user", "tool_result")], True),
        ([_turn("assistant", "text", "tool_use"), _turn("user", "tool_result", "text")], True),
        ([_turn("assistant", "thinking", "tool_use"), _turn("user", "tool_result")], False),
        ([_turn("assistant", "redacted_thinking", "tool_use"), _turn("user", "tool_result")], False),
    ],
)
def test_manual_thinking_is_off_in_a_tool_loop_without_thinking(messages: list[Message], refused: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """The API would reject it. Adaptive thinking is not changed."""
    manual: MessagesRequest = {"messages": messages, "thinking": {"type": "enabled", "budget_tokens": 2000}}
    assert without_orphan_thinking(manual).body["thinking"]["type"] == ("disabled" if refused else "enabled")
    assert [warning.param for warning in without_orphan_thinking(manual).warnings] == (
        ["reasoning_effort"] if refused else []
    )
    adaptive: MessagesRequest = {"messages": messages, "thinking": {"type": "adaptive"}}
    assert without_orphan_thinking(adaptive).body is adaptive
