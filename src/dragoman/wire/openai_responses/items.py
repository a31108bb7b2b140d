"""The input of a request, item by item, as turns of the Messages API."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from dragoman.errors import InvalidRequest, UnsupportedFeature
from dragoman.messages import Block, JSONObject
from dragoman.notices import Notice
from dragoman.wire.calls import arguments_of
from dragoman.wire.openai_responses import custom
from dragoman.wire.openai_responses.content import blocks_of, words_of
from dragoman.wire.openai_responses.item_schema import (
    Compaction,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    InputItem,
    ItemReference,
    Message,
    Reasoning,
    WebSearchCall,
)
from dragoman.wire.openai_responses.thoughts import Thoughts
from dragoman.wire.sealing import Vault
from dragoman.wire.turns import Turns, text_blocks

SUMMARY = "This is a summary of the conversation so far; the messages themselves are not shown any more.\n\n"
"""What Claude is told in front of what stands for a conversation that was compacted."""


@dataclass(frozen=True, slots=True)
class Reader:
    """What items are read into.

    Attributes:
        turns: The conversation.
        thoughts: The thinking in it.
        vault: Opens what clients carry for us, if anything does.
        notices: Where to say what could not stay as it was.
    """

    turns: Turns
    thoughts: Thoughts
    vault: Vault | None
    notices: list[Notice]

    def take(self, given: str | list[InputItem]) -> None:
        """Build the turns of a whole input.

        Raises:
            InvalidRequest: An item cannot stand where it stands, or cannot be read; `param` names it.
        """
        if isinstance(given, str):
            self.turns.say(text_blocks(given), "input")
            self.turns.end("input")
            return
        self.add(given, "input")
        self.turns.end(f"input[{len(given) - 1}]" if given else "input")

    def add(self, items: Sequence[InputItem], field: str) -> None:
        """Add items.

        Args:
            items: The items.
            field: The field that holds them.

        Raises:
            InvalidRequest: As `take` does.
        """
        for index, item in enumerate(items):
            self._add(item, f"{field}[{index}]")

    def _add(self, item: InputItem, path: str) -> None:
        turns = self.turns
        match item:
            case Message():
                _say(item, path, turns)
            case FunctionCall():
                _call(item, arguments_of(item.arguments, f"{path}.arguments", self.notices), path, turns)
            case CustomToolCall():
                _call(item, custom.as_input(item.input), path, turns)
            case FunctionCallOutput() | CustomToolCallOutput():
                id_ = turns.calls.answered(item.call_id, f"{path}.call_id")
                turns.result(id_, blocks_of(item.output, f"{path}.output", turns.media))
            case Reasoning():
                blocks = self._thinking(item, path)
                _answer(turns, path)
                turns.answer(blocks)
            case Compaction():
                self._summary(item, path)
            case WebSearchCall():
                detail = "What a search found is not in it; Claude searches again if it wants to."
                self.notices.append(Notice("ignored", path, detail))
            case ItemReference():
                raise UnsupportedFeature("Items are not kept by themselves; send the item itself.", param=f"{path}.id")
            case _:
                assert_never(item)

    def _thinking(self, item: Reasoning, path: str) -> list[Block]:
        if not item.encrypted_content:
            detail = "Reasoning can be sent back as `encrypted_content` only, which `include` asks for."
            self.notices.append(Notice("ignored", path, detail))
            return []
        param = f"{path}.encrypted_content"
        if self.vault and (thought := self.vault.thought_in(item.encrypted_content)):
            return self.thoughts.taken(thought, param)
        detail = "This was not made by this gateway, or was changed since; Claude could not read it."
        self.notices.append(Notice("left_out", param, detail))
        return []

    def _summary(self, item: Compaction, path: str) -> None:
        summary = self.vault.summary_in(item.encrypted_content) if self.vault else None
        if summary is None:
            detail = "This was not made by this gateway, or was changed since: there is no going on from it."
            raise InvalidRequest(detail, param=f"{path}.encrypted_content")
        self.turns.say(text_blocks(SUMMARY + summary), path)


def _call(item: FunctionCall | CustomToolCall, input_: JSONObject, path: str, turns: Turns) -> None:
    _answer(turns, path)
    turns.answer([turns.calls.made(item.call_id, item.name, input_, id_=item.call_id, path=f"{path}.call_id")])


def _say(item: Message, path: str, turns: Turns) -> None:
    content = f"{path}.content"
    if item.role == "user":
        turns.say(blocks_of(item.content, content, turns.media), path)
    elif item.role == "assistant":
        _answer(turns, path)
        turns.answer(words_of(item.content, content))
    else:
        turns.instruct(words_of(item.content, content), path)


def _answer(turns: Turns, path: str) -> None:
    """Let the assistant speak, or speak on: one answer of several calls comes as several items."""
    if not (turns.calls.open and turns.messages[-1]["role"] == "assistant"):
        turns.calls.path = path
        turns.begin_answer(path)
