"""Thinking through the real runtime: a replayed conversation gets its thinking back."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from backend_harness import Answer, Runtime, assistant, runtime, user, without_marks

from dragoman.core.catalog import Catalog
from dragoman.core.messages import Block, JSONObject, Message
from dragoman.runs.reasoning_store import ReasoningStore
from dragoman.stores.sqlite.key_values import SQLiteKeyValueStore

AUTH = pytest.mark.parametrize("signed_in", [False, True], ids=["key", "signed-in"])
TOOL: JSONObject = {"name": "look", "description": "Look", "input_schema": {"type": "object"}}
CONFIG: dict[str, JSONObject] = {
    "claude-sonnet-4-5": {"type": "enabled", "budget_tokens": 2000},
    "claude-opus-5": {"type": "adaptive", "display": "summarized"},
    "claude-opus-5-5": {"type": "adaptive", "display": "summarized"},
    "claude-sonnet-5-5": {"type": "adaptive", "display": "summarized"},
}


@pytest.fixture
async def thinking(tmp_path: Path) -> AsyncIterator[ReasoningStore]:
    """An empty store."""
    store = SQLiteKeyValueStore(tmp_path / "thinking.db", ttl=60, entries=100)
    yield ReasoningStore(store, "me")
    await store.aclose()


async def ask(harness: Runtime, thinking: ReasoningStore, messages: list[Message], model: str) -> Answer:
    """Send a request as the engine does."""
    body = harness.request(messages, model, tools=[TOOL], thinking=CONFIG[model]).body
    restored = await thinking.restore(body, Catalog().resolve(model).model)
    assert restored.warnings == ()
    rest = {key: value for key, value in restored.body.items() if key not in {"messages", "model"}}
    answer = await harness.ask(restored.body["messages"], model, **rest)
    await thinking.store(restored, answer.accumulated.message)
    return answer


def sent_back(answer: Answer) -> Message:
    """Return a response as clients send it back."""
    content = answer.accumulated.message["content"]
    return assistant(*[block for block in content if block["type"] != "thinking"])


def calls(answer: Answer) -> list[Block]:
    """Return the tool calls of a response."""
    return [block for block in answer.accumulated.message["content"] if block["type"] == "tool_use"]


@AUTH
@pytest.mark.parametrize("model", CONFIG)
async def test_thinking_is_restored_when_the_process_is_gone(
    tmp_path: Path, thinking: ReasoningStore, model: str, *, signed_in: bool
) -> None:
    """The replayed request is the one that the live process would have sent, thinking and signatures included."""
    async with runtime(tmp_path, signed_in=signed_in) as harness:
        messages = [user("Think: hello")]
        first = await ask(harness, thinking, messages, model)
        messages += [sent_back(first), user("Think, then call look with {}")]
        second = await ask(harness, thinking, messages, model)
        assert second.path == "live"
        [call] = calls(second)
        messages += [sent_back(second), user({"type": "tool_result", "tool_use_id": call["id"], "content": "seen"})]
        harness.backend._live.clear()
        third = await ask(harness, thinking, messages, model)
        assert third.path == "cold"
        assert "seen" in third.text
        assert len(harness.calls) == 3
        live, replayed = (without_marks(harness.calls[number].body["messages"]) for number in (1, 2))
        assert replayed[: len(live)] == live  # type: ignore[index, arg-type]
        thought = [b for m in replayed for b in m["content"] if b["type"] == "thinking"]  # type: ignore[attr-defined]
        assert len(thought) == 2


async def test_thinking_streams_with_its_signature(tmp_path: Path, thinking: ReasoningStore) -> None:
    """Thinking arrives as blocks of its own."""
    async with runtime(tmp_path) as harness:
        answer = await ask(harness, thinking, [user("Think: hello")], "claude-sonnet-4-5")
        block = answer.accumulated.message["content"][0]
        assert block["type"] == "thinking"
        assert block["thinking"]
        assert block["signature"]
        assert harness.calls[0].body["thinking"] == CONFIG["claude-sonnet-4-5"]
