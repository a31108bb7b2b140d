"""The input of a request, item by item, as turns of the Messages API."""

from typing import assert_never

from dragoman.errors import UnsupportedFeature
from dragoman.messages import Block
from dragoman.notices import Notice
from dragoman.wire.calls import parsed_arguments
from dragoman.wire.openai_responses import custom, encrypted
from dragoman.wire.openai_responses.content import blocks_of, words_of
from dragoman.wire.openai_responses.item_schema import (
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
from dragoman.wire.turns import Turns, text_blocks


def take(given: str | list[InputItem], turns: Turns, notices: list[Notice]) -> None:
    """Build the turns of a whole input.

    Raises:
        InvalidRequest: An item cannot stand where it stands, or cannot be read; `param` names it.
    """
    if isinstance(given, str):
        turns.say(text_blocks(given), "input")
        turns.end("input")
        return
    for index, item in enumerate(given):
        _add(item, f"input[{index}]", turns, notices)
    turns.end(f"input[{len(given) - 1}]" if given else "input")


def _add(item: InputItem, path: str, turns: Turns, notices: list[Notice]) -> None:
    match item:
        case Message():
            _say(item, path, turns)
        case FunctionCall():
            _answer(turns, path)
            input_ = parsed_arguments(item.arguments, f"{path}.arguments")
            turns.answer([turns.calls.made(item.call_id, item.name, input_, id_=item.call_id, path=f"{path}.call_id")])
        case CustomToolCall():
            _answer(turns, path)
            input_ = custom.as_input(item.input)
            turns.answer([turns.calls.made(item.call_id, item.name, input_, id_=item.call_id, path=f"{path}.call_id")])
        case FunctionCallOutput() | CustomToolCallOutput():
            id_ = turns.calls.answered(item.call_id, f"{path}.call_id")
            turns.result(id_, blocks_of(item.output, f"{path}.output", turns.media))
        case Reasoning():
            blocks = _thinking(item, path, notices)
            _answer(turns, path)
            turns.answer(blocks)
        case WebSearchCall():
            detail = "What a search found is not in it; Claude searches again if it wants to."
            notices.append(Notice("ignored", path, detail))
        case ItemReference():
            raise UnsupportedFeature("Items are not kept; send the item itself.", param=f"{path}.id")
        case _:
            assert_never(item)


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


def _thinking(item: Reasoning, path: str, notices: list[Notice]) -> list[Block]:
    if not item.encrypted_content:
        detail = "Reasoning can be sent back as `encrypted_content` only, which `include` asks for."
        notices.append(Notice("ignored", path, detail))
        return []
    if block := encrypted.opened(item.encrypted_content):
        return [block]
    detail = "This was not made by this gateway, and Claude could not read it."
    notices.append(Notice("ignored", f"{path}.encrypted_content", detail))
    return []
