"""Thinking that a client sends back: unchanged, and in the same conversation if the model binds it."""

from typing import Any

import pytest
from simulator_support import Ask

BETA = {"anthropic-beta": "thinking-binding-controls-2026-08-01"}


async def conversation(ask: Ask, model: str, **fields: Any) -> list[dict[str, Any]]:
    """Return a conversation: a first turn with thinking, and a second user message."""
    first: Any = await ask("Hello", model=model, **fields)
    assert first["content"][0]["type"] == "thinking"
    return [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": first["content"]},
        {"role": "user", "content": "And now?"},
    ]


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-opus-5"])
async def test_unchanged_conversation_is_accepted(ask: Ask, model: str) -> None:
    """Cache marks and the form of the content do not count as a change."""
    thinking = {"type": "adaptive", "display": "summarized"}
    messages = await conversation(ask, model, thinking=thinking)
    messages[0]["content"] = [{"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral"}}]
    assert (await ask(model=model, messages=messages, thinking=thinking))["type"] == "message"


async def test_deferred_tools_can_be_added(ask: Ask) -> None:
    """Tools that are loaded by reference are not part of what thinking is bound to."""
    tool = {"name": "look", "input_schema": {"type": "object"}}
    messages = await conversation(ask, "claude-sonnet-5-5", tools=[tool])
    deferred = {"name": "find", "input_schema": {"type": "object"}, "defer_loading": True}
    answer = await ask(model="claude-sonnet-5-5", messages=messages, tools=[deferred, tool])
    assert answer["type"] == "message"


async def test_changed_thinking_is_refused(ask: Ask) -> None:
    """The signature must fit the text."""
    thinking = {"type": "adaptive", "display": "summarized"}
    messages = await conversation(ask, "claude-opus-5", thinking=thinking)
    messages[1]["content"][0]["thinking"] += "!"
    refused: Any = await ask(model="claude-opus-5", messages=messages)
    assert refused["error"]["message"] == "messages.1.content.0: Invalid `signature` in `thinking` block"


@pytest.mark.parametrize("change", ["text", "system", "tools", "model", "account"])
async def test_moved_thinking_is_refused_if_bound(ask: Ask, change: str) -> None:
    """A change of anything before the thinking, of the model, or with Sonnet of the account, is refused."""
    messages = await conversation(ask, "claude-sonnet-5-5")
    fields: dict[str, Any] = {"model": "claude-sonnet-5-5", "messages": messages}
    if change == "text":
        messages[0]["content"] = "Hello!"
    elif change == "system":
        fields["system"] = "Be kind."
    elif change == "tools":
        fields["tools"] = [{"name": "look", "input_schema": {"type": "object"}}]
    elif change == "model":
        fields["model"] = "claude-opus-5-5"
    else:
        fields["headers"] = {"x-api-key": "sk-other"}
    refused: Any = await ask(**fields)
    assert refused["error"]["message"] == "messages.1.content.0: The block is bound to a different conversation"


async def test_moved_thinking_can_be_dropped(ask: Ask) -> None:
    """With the beta, the response lists the dropped blocks. Without the beta, the field is refused."""
    messages = await conversation(ask, "claude-opus-5-5")
    messages[0]["content"] = "Hello!"
    thinking = {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}}
    answer: Any = await ask(model="claude-opus-5-5", messages=messages, thinking=thinking, headers=BETA)
    assert answer["input_transformations"] == [
        {"type": "thinking_dropped", "path": "messages.1.content.0", "reason": "prefix_binding_mismatch"}
    ]
    refused: Any = await ask(model="claude-opus-5-5", messages=messages, thinking=thinking)
    assert "block_binding: Extra inputs are not permitted" in refused["error"]["message"]


async def test_unbound_thinking_can_be_moved(ask: Ask) -> None:
    """Models before 5.5 check only the signature."""
    messages = await conversation(ask, "claude-opus-5", thinking={"type": "adaptive"})
    messages[0]["content"] = "Something else"
    assert (await ask(model="claude-opus-5", messages=messages))["type"] == "message"
