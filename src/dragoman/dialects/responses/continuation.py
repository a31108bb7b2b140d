"""What was said before, where a request goes on from a kept response."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from dragoman.core.conversation import THINKING_TYPES
from dragoman.core.messages import JSON, Block
from dragoman.dialects.responses.input import Reader
from dragoman.dialects.responses.reasoning import PastTurn, Thoughts
from dragoman.dialects.responses.schema import InputItem
from dragoman.dialects.shared.conversation import ConversationBuilder
from dragoman.dialects.shared.sealing import Thought

PARAM = "previous_response_id"


@dataclass(frozen=True, slots=True)
class History:
    """An earlier conversation.

    Attributes:
        turns: The oldest first.
        tools: The tools of the last, as its client sent them.
    """

    turns: Sequence[PastTurn]
    tools: JSON

    @property
    def model(self) -> str:
        """Who answered last."""
        return self.turns[-1].model


class _Named(Struct):
    previous_response_id: str | None = None


def previous_response_id(raw: bytes) -> str | None:
    """The kept response that a request goes on from, if it names one. What cannot be read is for `decode` to refuse."""
    if PARAM.encode() not in raw:
        return None
    try:
        return msgspec.json.decode(raw, type=_Named).previous_response_id
    except (msgspec.DecodeError, RecursionError):
        return None


def going_on(sent: JSON, past: History | None) -> JSON:
    """A request with what it takes over from the response before: its tools and its model, unless it names its own."""
    if past is None or not isinstance(sent, dict):
        return sent
    taken = {"model": past.model, "tools": past.tools}
    return {**sent, **{name: value for name, value in taken.items() if sent.get(name) is None}}


def restore_history(past: History | None, reader: Reader) -> None:
    """Let everybody say again what they said.

    Raises:
        InvalidRequest: Results of calls are owed.
    """
    for turn in past.turns if past else ():
        reader.add(msgspec.convert(turn.items, list[InputItem]), PARAM)
        _answer(turn, reader.turns, reader.thoughts)


def _answer(turn: PastTurn, turns: ConversationBuilder, thoughts: Thoughts) -> None:
    turns.begin_answer(PARAM)
    turns.calls.path = PARAM
    for block in _finished(turn.answer):
        turns.answer(_again(block, turn, turns, thoughts))


def _finished(answer: Sequence[Block]) -> Sequence[Block]:
    """The answer up to where it was cut, if it was: Claude takes no call that has no arguments, and no last thought."""
    results = {block.get("tool_use_id") for block in answer}
    whole = [block for block in answer if _is_whole(block, results)]
    while whole and whole[-1].get("type") in THINKING_TYPES:
        whole.pop()
    return whole


def _is_whole(block: Block, results: set[JSON]) -> bool:
    match block.get("type"):
        case "text":
            return not str(block.get("text") or "").isspace() and bool(block.get("text"))
        case "tool_use":
            return isinstance(block.get("input"), dict)
        case "server_tool_use":
            return block.get("id") in results
        case _:
            return True


def _again(block: Block, turn: PastTurn, turns: ConversationBuilder, thoughts: Thoughts) -> list[Block]:
    if block.get("type") in THINKING_TYPES:
        return thoughts.taken(Thought(turn.model, turn.before, block), PARAM)
    if block.get("type") == "tool_use":
        id_, input_ = str(block["id"]), block["input"]
        made = turns.calls.made(id_, str(block["name"]), input_, id_=id_, path=PARAM)  # type: ignore[arg-type]
        return [{**block, **made}]
    return [dict(block)]
