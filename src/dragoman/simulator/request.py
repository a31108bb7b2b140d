"""A request as the rules and the answers read it, and the prompt at the end of its conversation."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from dragoman.core.catalog import Model
from dragoman.core.messages import Block, JSONObject
from dragoman.core.value_object import value_object
from dragoman.simulator.json_values import blocks_of, object_of, objects_of, plain_text, text_of, without_reminders
from dragoman.simulator.media import describe
from dragoman.simulator.prefix import HashedBlock, hash_blocks

NEWEST_VERSION = "2026-10-21"
VERSIONS = frozenset({"2023-06-01", NEWEST_VERSION})
"""The known values of `anthropic-version`."""

RUNTIME_BETA = "claude-code-20250219"
"""The beta that identifies the Claude Code runtime."""

_QUOTED = re.compile(r'"([^"\n]+)"|“([^”\n]+)”|(?<!\w)\'([^\'\n]+)\'(?!\w)')
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")


@dataclass(frozen=True)
class ApiRequest:
    """A request to `/v1/messages` or `/v1/messages/count_tokens`.

    Attributes:
        body: The JSON body as it arrived.
        model: Its model, with the rules that apply to it.
        headers: The request headers, names in lower case.
        credential: The key or token. Cache and signatures are separate for each.
    """

    body: JSONObject
    model: Model
    headers: Mapping[str, str]
    credential: str

    @cached_property
    def betas(self) -> frozenset[str]:
        """The values of `anthropic-beta`."""
        header = self.headers.get("anthropic-beta", "")
        return frozenset(beta for part in header.split(",") if (beta := part.strip()))

    @property
    def is_newest_version(self) -> bool:
        """Whether the rules of `anthropic-version: 2026-10-21` apply."""
        return self.headers.get("anthropic-version") == NEWEST_VERSION

    @cached_property
    def messages(self) -> list[JSONObject]:
        """The messages that are objects."""
        return objects_of(self.body.get("messages"))

    @cached_property
    def tools(self) -> list[JSONObject]:
        """The offered tools: the client's and the provider's own."""
        return objects_of(self.body.get("tools"))

    @property
    def tool_choice(self) -> JSONObject:
        """The `tool_choice` field."""
        return object_of(self.body.get("tool_choice"))

    @property
    def thinking(self) -> JSONObject:
        """The `thinking` field."""
        return object_of(self.body.get("thinking"))

    @cached_property
    def effort(self) -> str | None:
        """The effort of the response: the newest message's own, else the request's, else the model's."""
        for message in reversed(self.messages):
            if effort := text_of(object_of(message.get("output_config")).get("effort")):
                return effort
        return text_of(object_of(self.body.get("output_config")).get("effort")) or self.model.default_effort

    @cached_property
    def hashed_blocks(self) -> list[HashedBlock]:
        """Every block of the prompt with the hashes of its prefixes."""
        return list(hash_blocks(self.body))

    @property
    def prefix_hash(self) -> bytes:
        """The hash of the prompt, which is the prefix of the response's first block."""
        return self.hashed_blocks[-1].hash_through if self.hashed_blocks else b""


@value_object
class Prompt:
    """The end of a conversation, which the response answers.

    Attributes:
        text: The user's newest text. It is older than `results` if the conversation ends in tool results.
        results: The texts of the tool results after that text.
        answered_ids: The ids of the tool calls that have these results.
        attachments: A short description of each image and document in the same turn as the text.
        rounds: The number of turns of tool results after that text.
    """

    text: str
    results: tuple[str, ...] = ()
    answered_ids: frozenset[str] = frozenset()
    attachments: tuple[str, ...] = ()
    rounds: int = 0

    def quoted_strings(self) -> list[str]:
        """Return the quoted strings of the text, in order."""
        return ["".join(groups) for groups in _QUOTED.findall(self.text)]

    def numbers(self) -> list[float]:
        """Return the numbers of the text outside quotes, in order; integers as `int`."""
        found = _NUMBER.findall(_QUOTED.sub(" ", self.text))
        return [float(number) if "." in number else int(number) for number in found]


def read_prompt(messages: list[JSONObject]) -> Prompt:
    """Read the prompt at the end of a conversation."""
    turn = _last_user_turn(messages)
    text = "\n".join(filter(None, map(_text_of_block, turn)))
    results = [block for block in turn if block.get("type") == "tool_result"]
    if text or not results:
        return Prompt(text, attachments=tuple(filter(None, map(describe, turn))))
    return Prompt(
        _newest_user_text(messages),
        results=tuple(_result_text(block) for block in results),
        answered_ids=frozenset(text_of(block.get("tool_use_id")) for block in results),
        rounds=_rounds_of_results(messages),
    )


def _last_user_turn(messages: list[JSONObject]) -> list[Block]:
    """Return the blocks of the last consecutive user messages. System messages and a prefill are skipped."""
    turn: list[list[Block]] = []
    for message in reversed(messages):
        if message.get("role") == "user":
            turn.append(blocks_of(message.get("content")))
        elif message.get("role") == "assistant" and turn:
            break
    return [block for blocks in reversed(turn) for block in blocks]


def _rounds_of_results(messages: list[JSONObject]) -> int:
    """Return how many of the user's messages at the end have results, and no text."""
    rounds = 0
    for message in reversed(messages):
        if message.get("role") == "user":
            blocks = blocks_of(message.get("content"))
            if any(map(_text_of_block, blocks)):
                break
            rounds += any(block.get("type") == "tool_result" for block in blocks)
    return rounds


def _newest_user_text(messages: list[JSONObject]) -> str:
    texts = (plain_text(message.get("content")) for message in reversed(messages) if message.get("role") == "user")
    return next(filter(None, texts), "")


def _text_of_block(block: Block) -> str:
    return without_reminders(text_of(block.get("text"))) if block.get("type") == "text" else ""


def _result_text(block: Block) -> str:
    content = block.get("content")
    parts = [plain_text(content), *filter(None, map(describe, objects_of(content)))]
    return " ".join(filter(None, parts)) or "nothing"
