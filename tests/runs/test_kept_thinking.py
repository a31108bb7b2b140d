"""Thinking kept between the requests of a conversation, judged by the simulated API's own rules."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import httpx
import pytest

from dragoman.core.catalog import Catalog, Model
from dragoman.core.messages import Block, FinalMessage, JSONObject, Message, MessagesRequest
from dragoman.runs.reasoning_store import ReasoningStore, without_orphan_thinking
from dragoman.simulator.server import Simulator
from dragoman.stores.sqlite.key_values import SQLiteKeyValueStore

TOOL: JSONObject = {"name": "look", "description": "Look", "input_schema": {"type": "object"}}
BOUND = "claude-opus-5-5"
MANUAL = "claude-sonnet-4-5"
HEADERS = {"x-api-key": "sk-ant-dummy", "anthropic-version": "2023-06-01"}


class Api:
    """The simulated API with thinking kept in front of it."""

    def __init__(self, url: str, thinking: ReasoningStore) -> None:
        self._client = httpx.AsyncClient(base_url=url, headers=HEADERS)
        self.thinking = thinking
        self.warnings: tuple[str, ...] = ()
        self.sent: list[Message] = []

    async def ask(self, messages: list[Message], model: str, **fields: object) -> FinalMessage:
        """Ask as the engine does, and return the answer; a refusal fails the test."""
        body = cast("MessagesRequest", {"model": model, "messages": messages, "max_tokens": 9000, "tools": [TOOL]})
        if model == MANUAL:
            body["thinking"] = {"type": "enabled", "budget_tokens": 2000}
        restored = await self.thinking.restore(cast("MessagesRequest", {**body, **fields}), _model(model))
        self.warnings = tuple(warning.code for warning in restored.warnings)
        self.sent = restored.body["messages"]
        answer = await self._client.post("/v1/messages", json=restored.body)
        assert answer.status_code == 200, answer.text
        message = cast("FinalMessage", answer.json())
        await self.thinking.remember(restored.body, message)
        return message

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()


def _model(name: str) -> Model:
    return Catalog().resolve(name).model


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """An API with an empty keep."""
    keep = SQLiteKeyValueStore(tmp_path / "thinking.db", ttl=60, entries=100)
    async with Simulator() as simulator:
        made = Api(simulator.url, ReasoningStore(keep, "me"))
        yield made
        await made.aclose()
    await keep.aclose()


def user(words: str) -> Message:
    """A user message."""
    return Message(role="user", content=[{"type": "text", "text": words}])


def results(answer: FinalMessage) -> Message:
    """A result for each call."""
    made: list[Block] = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "seen"}
        for block in answer["content"]
        if block["type"] == "tool_use"
    ]
    assert made
    return Message(role="user", content=made)


def as_clients_send(answer: FinalMessage) -> Message:
    """An answer without its thinking."""
    content = [block for block in answer["content"] if "thinking" not in str(block["type"])]
    assert content
    assert len(content) < len(answer["content"]), "the model did not think"
    return Message(role="assistant", content=content)


@pytest.mark.parametrize("model", [BOUND, MANUAL, "claude-sonnet-5-5"])
@pytest.mark.parametrize("extra", ["", "\nSimulate: redacted thinking"], ids=["plain", "redacted"])
async def test_a_conversation_that_returns_without_thinking_gets_it_back(api: Api, model: str, extra: str) -> None:
    """Text and tool turns alike, block for block."""
    messages = [user(f"Think: hello{extra}")]
    first = await api.ask(messages, model)
    messages += [as_clients_send(first), user(f"Think, then call look with {{}}{extra}")]
    second = await api.ask(messages, model)
    messages += [as_clients_send(second), results(second)]
    await api.ask(messages, model)
    assert api.warnings == ()
    assert api.sent[1]["content"] == first["content"]
    assert api.sent[3]["content"] == second["content"]


async def test_thinking_between_texts_goes_back_between_them(api: Api) -> None:
    """Chat clients send the texts of an answer as one; behind both of them the second thought would be refused."""
    question: MessagesRequest = {"model": BOUND, "messages": [user("Why?")]}
    content: list[Block] = [
        {"type": "thinking", "thinking": "", "signature": "1"},
        {"type": "text", "text": "So. "},
        {"type": "thinking", "thinking": "", "signature": "2"},
        {"type": "text", "text": "And so."},
    ]
    await api.thinking.remember(question, {"content": content})
    sent = Message(role="assistant", content=[{"type": "text", "text": "So. And so."}])
    back: MessagesRequest = {"model": BOUND, "messages": [user("Why?"), sent, user("Go on")]}
    restored = await api.thinking.restore(back, _model(BOUND))
    assert restored.body["messages"][1]["content"] == content


async def test_a_changed_conversation_loses_all_its_thinking_with_a_notice(api: Api) -> None:
    """An earlier answer's thinking that is lost makes the later one's invalid: the API would refuse it."""
    messages = [user("Think: hello")]
    first = await api.ask(messages, BOUND)
    messages += [as_clients_send(first), user("Think, then call look with {}")]
    second = await api.ask(messages, BOUND)
    other = ReasoningStore(_Forgetful(api.thinking._keep, 0), "me")  # type: ignore[arg-type]
    api.thinking = other
    await api.ask([*messages, as_clients_send(second), results(second)], BOUND)
    assert api.warnings == ("left_out",)
    assert all(block["type"] != "thinking" for message in api.sent for block in message["content"])


async def test_an_edited_conversation_finds_nothing_and_is_not_refused(api: Api) -> None:
    """What was never thought there is not put there."""
    first = await api.ask([user("Think, then call look with {}")], BOUND)
    await api.ask([user("Think now, then call look with {}"), as_clients_send(first), results(first)], BOUND)
    assert all(block["type"] != "thinking" for message in api.sent for block in message["content"])


@pytest.mark.parametrize(
    "change", [{"system": [{"type": "text", "text": "B"}]}, {"tools": [TOOL, {**TOOL, "name": "b"}]}]
)
async def test_another_system_prompt_or_tools_are_another_conversation(api: Api, change: JSONObject) -> None:
    """Bound thinking counts them in."""
    first = await api.ask([user("Think, then call look with {}")], BOUND)
    messages = [user("Think, then call look with {}"), as_clients_send(first), results(first)]
    await api.ask(messages, BOUND, **change)
    assert all(block["type"] != "thinking" for message in api.sent for block in message["content"])


async def test_a_lost_thought_turns_manual_thinking_off_with_a_notice(api: Api) -> None:
    """The API refuses a result whose call comes without its thinking."""
    first = await api.ask([user("Think, then call look with {}")], MANUAL)
    api.thinking = ReasoningStore(api.thinking._keep, "somebody else")
    await api.ask([user("Think, then call look with {}"), as_clients_send(first), results(first)], MANUAL)
    assert api.warnings == ("ignored",)


async def test_what_a_client_sends_back_itself_stays(api: Api) -> None:
    """Nothing is put there twice."""
    first = await api.ask([user("Think, then call look with {}")], BOUND)
    whole = Message(role="assistant", content=first["content"])
    await api.ask([user("Think, then call look with {}"), whole, results(first)], BOUND)
    assert api.sent[1] == whole


class _Forgetful:
    """A keep that has forgotten one of the values."""

    def __init__(self, keep: SQLiteKeyValueStore, lost: int) -> None:
        self._keep = keep
        self._lost = lost

    async def get(self, names: list[str]) -> dict[str, bytes]:
        """All but one."""
        return dict(await self._keep.get([name for number, name in enumerate(names) if number != self._lost]))

    async def put(self, name: str, value: bytes) -> None:
        """Keep."""
        await self._keep.put(name, value)


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
def test_manual_thinking_is_off_in_a_loop_without_its_thinking(messages: list[Message], refused: bool) -> None:  # noqa: FBT001
    """The API would refuse it; adaptive thinking is not touched."""
    manual: MessagesRequest = {"messages": messages, "thinking": {"type": "enabled", "budget_tokens": 2000}}
    assert without_orphan_thinking(manual).body["thinking"]["type"] == ("disabled" if refused else "enabled")
    assert [warning.param for warning in without_orphan_thinking(manual).warnings] == (
        ["reasoning_effort"] if refused else []
    )
    adaptive: MessagesRequest = {"messages": messages, "thinking": {"type": "adaptive"}}
    assert without_orphan_thinking(adaptive).body is adaptive
