"""A state machine of Hypothesis: one conversation in three dialects, with a model of what Claude must receive.

Run it with `fuzz_conversations.py SECONDS`. A test runs it for a few examples.
"""

import json
from typing import Any, Literal

from fuzz_stored_responses import main
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from dragoman.core.catalog import Catalog
from dragoman.dialects.base import DialectOptions
from dragoman.dialects.chat.dialect import ChatDialect
from dragoman.dialects.messages.dialect import MessagesDialect
from dragoman.dialects.responses.dialect import ResponsesDialect

_WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12).filter(str.strip)
_TOOL = "look_up"


class ConversationMachine(RuleBasedStateMachine):
    """A client's conversation grows turn by turn. After each turn, all of it is decoded.

    Claude must receive every text, call and result once, in the client's order. Results are in the client's order, too,
    but before the texts of their message.
    """

    def __init__(self) -> None:
        super().__init__()
        self._chat: list[Any] = []
        self._items: list[Any] = []
        self._messages: list[Any] = []
        self._expected: list[tuple[str, str]] = []
        self._open: list[str] = []
        self._calls = 0

    @initialize(words=_WORDS)
    def begin(self, words: str) -> None:
        """Begin with a question."""
        self._user(words)

    @rule(words=_WORDS)
    @precondition(lambda self: self._chat[-1]["role"] == "assistant" and not self._open)
    def ask(self, words: str) -> None:
        """Ask the next question."""
        self._user(words)

    @rule(words=_WORDS)
    @precondition(lambda self: self._chat[-1]["role"] != "assistant" and not self._open)
    def answer(self, words: str) -> None:
        """Claude answers with a text."""
        self._assistant(words, 0)

    @rule(words=st.none() | _WORDS, count=st.integers(1, 3))
    @precondition(lambda self: self._chat[-1]["role"] != "assistant" and not self._open)
    def call(self, words: str | None, count: int) -> None:
        """Claude calls tools, with or without a text before."""
        self._assistant(words, count)

    @rule(data=st.data(), words=_WORDS)
    @precondition(lambda self: self._open)
    def give_results(self, data: st.DataObject, words: str) -> None:
        """Give the results of all open calls, in any order."""
        blocks = []
        for id_ in data.draw(st.permutations(self._open)):
            result = f"{words} {id_}"
            self._chat.append({"role": "tool", "tool_call_id": id_, "content": result})
            self._items.append({"type": "function_call_output", "call_id": id_, "output": result})
            blocks.append({"type": "tool_result", "tool_use_id": id_, "content": result})
            self._expected.append(("result", result))
        self._messages.append({"role": "user", "content": blocks})
        self._open = []
        self._check()

    def _user(self, words: str) -> None:
        self._chat.append({"role": "user", "content": words})
        self._items.append({"role": "user", "content": words})
        self._messages.append({"role": "user", "content": words})
        self._expected.append(("text", words))
        self._check()

    def _assistant(self, words: str | None, count: int) -> None:
        ids = [f"call_{self._calls + number}" for number in range(count)]
        self._calls += count
        arguments = [json.dumps({"word": id_}) for id_ in ids]
        message: dict[str, Any] = {"role": "assistant", "content": words}
        blocks: list[Any] = []
        if words is not None:
            self._items.append({"role": "assistant", "content": words})
            blocks.append({"type": "text", "text": words})
            self._expected.append(("text", words))
        for id_, text in zip(ids, arguments, strict=True):
            function = {"name": _TOOL, "arguments": text}
            message.setdefault("tool_calls", []).append({"id": id_, "type": "function", "function": function})
            self._items.append({"type": "function_call", "call_id": id_, **function})
            blocks.append({"type": "tool_use", "id": id_, "name": _TOOL, "input": json.loads(text)})
            self._expected.append(("call", text))
        self._chat.append(message)
        self._messages.append({"role": "assistant", "content": blocks})
        self._open = ids

    def _check(self) -> None:
        """Decode the conversation in each dialect, if it ends with the user's turn."""
        parameters = {"type": "object", "properties": {"word": {"type": "string"}}}
        function = {"name": _TOOL, "parameters": parameters}
        bodies: dict[Literal["chat", "responses", "messages"], Any] = {
            "chat": {"messages": self._chat, "tools": [{"type": "function", "function": function}]},
            "responses": {"input": self._items, "tools": [{"type": "function", **function}], "store": False},
            "messages": {
                "messages": self._messages,
                "max_tokens": 100,
                "tools": [{"name": _TOOL, "input_schema": parameters}],
            },
        }
        options = DialectOptions()
        dialects: dict[str, Any] = {
            "chat": ChatDialect(Catalog, options),
            "responses": ResponsesDialect(Catalog, options),
            "messages": MessagesDialect(Catalog),
        }
        for name, body in bodies.items():
            raw = json.dumps({"model": "claude-sonnet-4-5", **body}).encode()
            decoded = dialects[name].decode(raw)
            assert _received(decoded.body["messages"]) == self._expected, name


def _received(messages: Any) -> list[tuple[str, str]]:
    received = []
    for message in messages:
        content = message["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            match block["type"]:
                case "text":
                    received.append(("text", block["text"]))
                case "tool_use":
                    received.append(("call", json.dumps(block["input"])))
                case "tool_result":
                    content = block["content"]
                    text = content if isinstance(content, str) else "".join(part["text"] for part in content)
                    received.append(("result", text))
    return received


if __name__ == "__main__":
    main(ConversationMachine)
