"""What the conversation asks for now: its newest request, tool results and attachments."""

import re
from dataclasses import dataclass

from dragoman.messages import Block, JSONObject
from dragoman.simulator.media import describe
from dragoman.simulator.shapes import blocks_of, objects_of, plain_text, text_of, without_reminders

_QUOTED = re.compile(r'"([^"\n]+)"|“([^”\n]+)”|(?<!\w)\'([^\'\n]+)\'(?!\w)')
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")


@dataclass(frozen=True, slots=True)
class Prompt:
    """The request to answer.

    Attributes:
        text: The newest text of the user; older than `results` where those came last.
        results: The texts of the tool results that came after that text.
        answered: The ids of the tool calls that those results answer.
        attachments: A short description of each image and document beside the text.
        prefill: The start of the answer where the assistant's message is the last.
    """

    text: str
    results: tuple[str, ...] = ()
    answered: frozenset[str] = frozenset()
    attachments: tuple[str, ...] = ()
    prefill: str = ""

    def quoted(self) -> list[str]:
        """The quoted strings of the text, in order."""
        return ["".join(groups) for groups in _QUOTED.findall(self.text)]

    def numbers(self) -> list[float]:
        """The numbers of the text outside quotes, in order; whole ones as `int`."""
        found = _NUMBER.findall(_QUOTED.sub(" ", self.text))
        return [float(number) if "." in number else int(number) for number in found]


def prompt_of(messages: list[JSONObject]) -> Prompt:
    """Read the request off the end of a conversation."""
    turn, prefill = _last_turn(messages)
    text = "\n".join(filter(None, (_own_text(block) for block in turn)))
    results = [block for block in turn if block.get("type") == "tool_result"]
    if text or not results:
        return Prompt(text, attachments=tuple(filter(None, map(describe, turn))), prefill=prefill)
    return Prompt(
        _newest_text(messages),
        results=tuple(_result_text(block) for block in results),
        answered=frozenset(text_of(block.get("tool_use_id")) for block in results),
        prefill=prefill,
    )


def _last_turn(messages: list[JSONObject]) -> tuple[list[Block], str]:
    """The blocks of the last user messages in a row, and the prefill behind them."""
    prefill, turn = "", []
    for message in reversed(messages):
        if message.get("role") == "user":
            turn.append(blocks_of(message.get("content")))
        elif message.get("role") == "assistant":
            if turn:
                break
            prefill = plain_text(message.get("content")) + prefill
    return [block for blocks in reversed(turn) for block in blocks], prefill


def _newest_text(messages: list[JSONObject]) -> str:
    texts = (plain_text(message.get("content")) for message in reversed(messages) if message.get("role") == "user")
    return next(filter(None, texts), "")


def _own_text(block: Block) -> str:
    return without_reminders(text_of(block.get("text"))) if block.get("type") == "text" else ""


def _result_text(block: Block) -> str:
    content = block.get("content")
    parts = [plain_text(content), *filter(None, map(describe, objects_of(content)))]
    return " ".join(filter(None, parts)) or "nothing"
