"""The messages of a chat, one after the other, as turns of the Messages API."""

from typing import assert_never

from dragoman.messages import Block
from dragoman.notices import Notice
from dragoman.wire.openai_chat.calls import calls_of, legacy_key
from dragoman.wire.openai_chat.content import assistant_blocks, system_blocks, user_blocks
from dragoman.wire.openai_chat.message_schema import (
    AssistantMessage,
    ChatMessage,
    DeveloperMessage,
    FunctionMessage,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from dragoman.wire.openai_chat.reasoning import thinking_blocks
from dragoman.wire.turns import Turns


def take(messages: list[ChatMessage], turns: Turns, notices: list[Notice]) -> None:
    """Build the turns of a whole chat.

    Raises:
        InvalidRequest: A message cannot stand where it stands, or cannot be read; `param` names it.
    """
    for index, message in enumerate(messages):
        _add(message, index, turns, notices)
    turns.end(f"messages[{len(messages) - 1}]")


def _add(message: ChatMessage, index: int, turns: Turns, notices: list[Notice]) -> None:
    path = f"messages[{index}]"
    if message.name and not isinstance(message, (ToolMessage, FunctionMessage)):
        notices.append(Notice("ignored", f"{path}.name", "Claude knows no names of participants."))
    match message:
        case SystemMessage() | DeveloperMessage():
            turns.instruct(system_blocks(message.content), path)
        case UserMessage():
            turns.say(user_blocks(message.content, f"{path}.content", turns.media), path)
        case AssistantMessage():
            turns.begin_answer(path)
            turns.answer(_assistant(message, index, turns, notices))
        case ToolMessage():
            id_ = turns.calls.answered(message.tool_call_id, f"{path}.tool_call_id")
            turns.result(id_, user_blocks(message.content, f"{path}.content", turns.media))
        case FunctionMessage():
            id_ = turns.calls.answered(legacy_key(message.name), f"{path}.name")
            turns.result(id_, user_blocks(message.content, f"{path}.content", turns.media))
        case _:
            assert_never(message)


def _assistant(message: AssistantMessage, index: int, turns: Turns, notices: list[Notice]) -> list[Block]:
    said = assistant_blocks(message.content) or assistant_blocks(message.refusal)
    thought = thinking_blocks(message, f"messages[{index}]", notices)
    return [*thought, *said, *calls_of(message, index, turns.calls)]
