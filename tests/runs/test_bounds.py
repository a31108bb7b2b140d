"""Upper bounds of prompts: messages that many requests share count as all others do, for each model."""

import pytest

from dragoman.core.catalog import MODELS, Model
from dragoman.core.conversation import has_thinking, have_thinking
from dragoman.core.known_message import KnownMessage
from dragoman.core.messages import JSONObject, Message, MessagesRequest, Role
from dragoman.runs.bounds import bound_of

_TEXT: JSONObject = {"type": "text", "text": "Hello äöü"}
_CALL: JSONObject = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": [1, 2, "three"]}}
_RESULT: JSONObject = {"type": "tool_result", "tool_use_id": "c1", "content": [_TEXT, _TEXT]}
_IMAGE: JSONObject = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
_DOCUMENT: JSONObject = {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}
_FOUND: JSONObject = {"type": "tool_result", "tool_use_id": "c1", "content": [_DOCUMENT]}
_THINKING: JSONObject = {"type": "thinking", "thinking": "Hm.", "signature": "s"}

_MESSAGES: list[tuple[Role, list[JSONObject]]] = [
    ("user", [_TEXT]),
    ("assistant", [_THINKING, _TEXT, _CALL]),
    ("user", [_RESULT, _IMAGE]),
    ("user", [_DOCUMENT]),
    ("user", [_FOUND, _TEXT]),
]


@pytest.mark.parametrize("count", range(1, 6))
def test_known_messages_have_the_same_bound_for_each_model(count: int) -> None:
    """Also the second time. A document from a URL may fill the context, which differs between models."""
    plain: list[Message] = [{"role": role, "content": content} for role, content in _MESSAGES[:count]]
    known = [KnownMessage(role, content) for role, content in _MESSAGES[:count]]
    small, large = min(MODELS, key=_context), max(MODELS, key=_context)
    assert small.context_tokens < large.context_tokens
    for model in (small, large, small):
        expected = bound_of(_body(plain), model)
        assert bound_of(_body(known), model) == expected


def test_known_messages_have_thinking_as_others() -> None:
    """It is found by the types of their blocks."""
    for index, (role, content) in enumerate(_MESSAGES):
        messages: list[Message] = [{"role": role, "content": content}, {"role": "user", "content": [_TEXT]}]
        known = [KnownMessage(one["role"], one["content"]) for one in messages]
        assert have_thinking(_body(known)["messages"]) == have_thinking(messages) == (index == 1)
        assert any(map(has_thinking, messages)) == (index == 1)


def _context(model: Model) -> int:
    return model.context_tokens


def _body(messages: list[KnownMessage] | list[Message]) -> MessagesRequest:
    return {"model": "claude-opus-5", "messages": messages, "max_tokens": 9}  # type: ignore[typeddict-item] # known ones
