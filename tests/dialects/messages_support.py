"""Requests of the Messages API, as clients send them and as hypothesis generates them."""

import json

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from dragoman.core.catalog import Catalog
from dragoman.core.messages import JSON, JSONObject
from dragoman.dialects.base import DecodedRequest
from dragoman.dialects.messages.dialect import MessagesDialect

NAMES = ("sonnet", "claude-sonnet-4-5", "claude-opus-5-5", "claude-haiku-4-5-20251001")
ASK: list[JSON] = [{"role": "user", "content": "Hello"}]


def dialect() -> MessagesDialect:
    """Return the dialect with the built-in models."""
    return MessagesDialect(Catalog)


def decode(headers: dict[bytes, bytes] | None = None, /, **fields: JSON) -> DecodedRequest:
    """Decode a request with these fields added; None removes a field."""
    body: JSONObject = {"model": "sonnet", "max_tokens": 100, "messages": ASK, **fields}
    given = {name: value for name, value in body.items() if value is not None}
    return dialect().decode(json.dumps(given).encode(), headers or {})


texts = st.text(st.characters(codec="utf-8"), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False)
anything: SearchStrategy[JSON] = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
others: SearchStrategy[JSONObject] = st.dictionaries(
    st.text("abcdefgh_", min_size=9, max_size=12), anything, max_size=2
)
"""Unknown fields: the names of known ones are shorter, or have other letters."""


def _block(kind: str, **needed: SearchStrategy[JSON]) -> SearchStrategy[JSONObject]:
    known: SearchStrategy[JSONObject] = st.fixed_dictionaries({"type": st.just(kind), **needed})
    return st.builds(lambda block, more: {**more, **block}, known, others)


words: SearchStrategy[JSON] = texts
text_blocks = _block("text", text=words)
plain_blocks = text_blocks | _block("image", source=anything) | _block("unknown_block", inside=anything)
blocks = (
    plain_blocks
    | _block("thinking", thinking=words, signature=words.map(lambda signature: signature or "s"))
    | _block("tool_use", id=words, name=words, input=anything)
    | _block("tool_result", tool_use_id=words)
    | _block("tool_result", tool_use_id=words, content=words | st.lists(plain_blocks, max_size=2))
)
contents: SearchStrategy[JSON] = texts | st.lists(blocks, max_size=3)
messages = st.builds(
    lambda role, content, more: {**more, "role": role, "content": content},
    st.sampled_from(["user", "assistant", "system"]),
    contents,
    others,
)
tools: SearchStrategy[JSON] = st.lists(
    _block("custom", name=words, input_schema=anything) | _block("unknown_tool", how=anything), max_size=2
)
bodies: SearchStrategy[JSONObject] = st.builds(
    lambda needed, known, more: {**more, **known, **needed},
    st.fixed_dictionaries({"model": st.sampled_from(NAMES), "messages": st.lists(messages, min_size=1, max_size=4)}),
    st.fixed_dictionaries(
        {},
        optional={
            "system": texts | st.lists(text_blocks, max_size=2),
            "max_tokens": st.integers(0, 10**6),
            "temperature": st.floats(0, 1),
            "stop_sequences": st.lists(texts, max_size=2),
            "tools": tools,
            "thinking": st.sampled_from([{"type": "adaptive"}, {"type": "enabled", "budget_tokens": 1024}]),
            "context_management": anything,
        },
    ),
    others,
)
