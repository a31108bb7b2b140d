"""A request that is nested too deeply is the client's error in every dialect."""

from collections.abc import Callable

import pytest
from chat_support import call, decode, dialect

from dragoman.core.catalog import Catalog
from dragoman.core.errors import InvalidRequest
from dragoman.core.messages import JSON
from dragoman.dialects.base import DialectOptions
from dragoman.dialects.completions.dialect import CompletionsDialect
from dragoman.dialects.embeddings.dialect import EmbeddingsDialect
from dragoman.dialects.messages.dialect import MessagesDialect
from dragoman.dialects.responses.dialect import CompactDialect, InputTokensDialect, ResponsesDialect

DECODERS: dict[str, Callable[[bytes], object]] = {
    "chat": dialect().decode,
    "completions": CompletionsDialect(Catalog).decode,
    "embeddings": EmbeddingsDialect("mini", {}, DialectOptions()).decode,
    "messages": MessagesDialect(Catalog).decode,
    "responses": ResponsesDialect(Catalog).decode,
    "input_tokens": InputTokensDialect(Catalog).decode,
    "compact": CompactDialect(Catalog).decode,
}


@pytest.mark.parametrize("name", DECODERS)
def test_a_body_that_is_nested_too_deeply_is_invalid_json(name: str) -> None:
    """The error is `invalid_json`, with a message that names the cause."""
    with pytest.raises(InvalidRequest, match="nested too deeply") as caught:
        DECODERS[name](b'{"model":"sonnet","input":' + b"[" * 100_000)
    assert (caught.value.code, caught.value.param) == ("invalid_json", None)


def test_arguments_that_are_nested_too_deeply_are_sent_as_text() -> None:
    """A lone surrogate makes the arguments invalid for the fast parser; the slow one recurses."""
    deep = '{"a":' + "[" * 700 + r'"\ud83e"' + "]" * 700 + "}"
    messages: list[JSON] = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [call(arguments=deep)]},
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
    ]
    request = decode(messages)
    assert request.body["messages"][1]["content"][0]["input"] == {"arguments": deep}
