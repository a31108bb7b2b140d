"""One request as the rules and the answers see it.

What the conversation asks for now: its newest request, tool results and attachments.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from dragoman.core.catalog import Model
from dragoman.core.messages import Block, JSONObject
from dragoman.simulator.cache_prefix import Point, points
from dragoman.simulator.json_values import blocks_of, object_of, objects_of, plain_text, text_of, without_reminders
from dragoman.simulator.media import describe

NEWEST_VERSION = "2026-10-21"
VERSIONS = frozenset({"2023-06-01", NEWEST_VERSION})
"""The `anthropic-version` values that are known."""

RUNTIME_BETA = "claude-code-20250219"
"""The beta by which the Claude Code runtime names itself."""


@dataclass(frozen=True)
class Call:
    """A request for a message.

    Attributes:
        body: The JSON body as it came.
        model: Its model, with the rules that hold for it.
        headers: The request headers, names in lower case.
        credential: The key or token; caches and signatures are its own.
    """

    body: JSONObject
    model: Model
    headers: Mapping[str, str]
    credential: str

    @cached_property
    def betas(self) -> frozenset[str]:
        """The `anthropic-beta` values."""
        listed = self.headers.get("anthropic-beta", "")
        return frozenset(beta for part in listed.split(",") if (beta := part.strip()))

    @property
    def newest_version(self) -> bool:
        """Whether the rules of `anthropic-version: 2026-10-21` hold."""
        return self.headers.get("anthropic-version") == NEWEST_VERSION

    @cached_property
    def messages(self) -> list[JSONObject]:
        """The messages, without what is no object."""
        return objects_of(self.body.get("messages"))

    @cached_property
    def tools(self) -> list[JSONObject]:
        """The tools offered: the client's and the provider's own."""
        return objects_of(self.body.get("tools"))

    @cached_property
    def points(self) -> list[Point]:
        """Every block of the prompt with the hash of what comes before it."""
        return list(points(self.body))

    @property
    def prefix(self) -> bytes:
        """The hash that the first block of the answer has before it."""
        return self.points[-1].through if self.points else b""

    @property
    def thinking(self) -> JSONObject:
        """The `thinking` field."""
        return object_of(self.body.get("thinking"))

    @cached_property
    def effort(self) -> str | None:
        """The effort that holds now: the newest message's own, else the request's, else the model's."""
        for message in reversed(self.messages):
            if effort := text_of(object_of(message.get("output_config")).get("effort")):
                return effort
        return text_of(object_of(self.body.get("output_config")).get("effort")) or self.model.default_effort


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
