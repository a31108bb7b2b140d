"""Hashes of the parts of a prompt, to find out which part differs from that of another request.

The hashes are those of Python: they are fast, and mean nothing outside of this process. No text is kept.
"""

import json
from collections.abc import Sequence
from typing import cast

import msgspec

from dragoman.core.known_message import KnownMessage
from dragoman.core.messages import JSON, Block, JSONObject, Message, MessagesRequest
from dragoman.core.value_object import value_object

_MARK = "cache_control"
_MARK_BYTES = b'"cache_control"'
_TEXT_KEYS = frozenset({"type", "text", _MARK})
_OPTIONS = ("tool_choice", "thinking", "output_config", "speed", "context_management", "container", "mcp_servers")
"""Fields that change the prompt in front of the messages."""
_BLOCKS_LOOKED_BACK = 20
"""How many blocks before a mark the API looks for a cached prompt.
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching"""

REASONS = (
    "first_turn", "account", "model", "tools", "system", "options", "message", "mark", "expired", "unknown"
)  # fmt: skip
"""Why a run reads less than it could; see `CacheUse.reason`."""

_encode = msgspec.json.Encoder().encode


@value_object
class CacheUse:
    """What a run has read from Claude's cache, and what it could have read.

    Attributes:
        read: Tokens that were read.
        expected: Tokens that the turn before has left in the cache; None: no such turn is known.
        reason: Why fewer were read. None: they were all read, or nothing was to be read.
            `first_turn`: this process knows no earlier turn of the conversation.
            `account`: the turn before was sent to another upstream.
            `model`, `tools`, `system`, `options`, `message`: this part has changed.
            `mark`: the client's cache marks are at places where the API does not find what the turn before has cached.
            `expired`: the cached prompt was older than its lifetime.
            `unknown`: nothing has changed in what the gateway sent.
        part: The field that has changed, such as `messages[3]`; empty for other reasons.
        age: Seconds since the turn before.
    """

    read: int
    expected: int | None
    reason: str | None = None
    part: str = ""
    age: float | None = None

    def as_json(self) -> JSONObject:
        """Return it in the form of the admin API."""
        return {
            "reason": self.reason,
            "part": self.part or None,
            "read": self.read,
            "expected": self.expected,
            "age": None if self.age is None else round(self.age, 1),
        }


@value_object
class Difference:
    """The first part of a prompt that differs.

    Attributes:
        reason: The kind of the part: `model`, `tools`, `system`, `options`, `message` or `mark`.
        part: The field that differs, such as `messages[3]`.
    """

    reason: str
    part: str


@value_object
class PromptParts:
    """The hashes of a prompt.

    Attributes:
        model: The model.
        tools: The hash of each tool.
        system: The hash of each block of the system prompt.
        options: The hash of each field of `_OPTIONS`.
        messages: The hash of each message.
        marks: The positions of the client's cache marks, counted in blocks from the beginning of the prompt.
    """

    model: str
    tools: tuple[int, ...]
    system: tuple[int, ...]
    options: tuple[int, ...]
    messages: tuple[int, ...]
    marks: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, body: MessagesRequest, messages: tuple[int, ...], same_start: "PromptParts | None" = None
    ) -> "PromptParts":
        """Return the parts of a request as it is sent.

        Args:
            body: The request.
            messages: The hashes of its messages.
            same_start: An earlier turn, if Claude has read all that it had cached. What is in front of the messages
                is then known to be the same, and is not hashed again.
        """
        tools, system = body.get("tools") or (), body.get("system") or ()
        marks = _marks(tools, system, body["messages"])
        if same_start is not None and same_start.caches_messages:
            return cls(same_start.model, same_start.tools, same_start.system, same_start.options, messages, marks)
        fields = cast("JSONObject", body)
        options = [hash(_encoded(fields[name])) if name in fields else 0 for name in _OPTIONS]
        hashes = tuple(map(_block_hash, tools)), tuple(map(_block_hash, system))
        return cls(body["model"], *hashes, tuple(options), messages, marks)

    @property
    def caches_messages(self) -> bool:
        """Whether the cached part of this prompt has all that is in front of the messages."""
        return not self.marks or self.marks[-1] > len(self.tools) + len(self.system)

    def difference(self, earlier: "PromptParts") -> Difference | None:
        """Return the first difference to an earlier turn of the conversation; None if it is continued unchanged."""
        if self.model != earlier.model:
            return Difference("model", "model")
        for name, now, before in (("tools", self.tools, earlier.tools), ("system", self.system, earlier.system)):
            if now != before:
                return Difference(name, _part(name, common(now, before)))
        for name, option, before_option in zip(_OPTIONS, self.options, earlier.options, strict=True):
            if option != before_option:
                return Difference("options", name)
        same = common(self.messages, earlier.messages)
        if same < len(earlier.messages):
            return Difference("message", _part("messages", same))
        return None if self._finds(earlier) else Difference("mark", "cache_control")

    def _finds(self, earlier: "PromptParts") -> bool:
        """Return whether a mark of this prompt is near enough behind the last mark of an earlier one."""
        if not earlier.marks:
            return True  # the gateway or the runtime sets marks, at the same places in each turn
        last = earlier.marks[-1]
        return any(last <= mark <= last + _BLOCKS_LOOKED_BACK for mark in self.marks)


def common(now: tuple[int, ...], before: tuple[int, ...]) -> int:
    """Return how many items from the beginning are the same."""
    if now[: len(before)] == before:  # as in most turns
        return len(before)
    return next((index for index, (one, other) in enumerate(zip(now, before, strict=False)) if one != other), len(now))


def _part(name: str, index: int) -> str:
    return f"{name}[{index}]"


def message_hashes(messages: Sequence[Message]) -> tuple[int, ...]:
    """Return the hash of each message. Those that many requests share are hashed once."""
    return tuple(
        [one.digest if type(one) is KnownMessage and one.digest is not None else _message_hash(one) for one in messages]
    )


def _message_hash(message: Message) -> int:
    digest = hash((message["role"], *map(_block_hash, message["content"])))
    if type(message) is KnownMessage:
        message.digest = digest
    return digest


def _block_hash(block: Block) -> int:
    """Return the hash of a block without its cache mark. A large text or file is hashed without a copy of it."""
    if block.get("type") == "text" and block.keys() <= _TEXT_KEYS:
        return hash(block["text"])
    source = block.get("source")
    if isinstance(source, dict) and isinstance(data := source.get("data"), str):
        return hash((data, str(source.get("media_type"))))
    encoded = _encoded(block)
    return hash(_encoded(_unmarked(block))) if _MARK_BYTES in encoded else hash(encoded)


def _encoded(value: JSON) -> bytes:
    try:
        return _encode(value)
    except UnicodeEncodeError:  # half of a character, which only the runtime can be sent
        return json.dumps(value).encode()


def _unmarked(value: JSON) -> JSON:
    if isinstance(value, list):
        return [_unmarked(item) for item in value]
    if isinstance(value, dict):
        return {name: _unmarked(item) for name, item in value.items() if name != _MARK}
    return value


def _marks(tools: Sequence[JSONObject], system: Sequence[Block], messages: Sequence[Message]) -> tuple[int, ...]:
    """Return the positions of the client's marks."""
    marks = [position for position, block in enumerate((*tools, *system), 1) if _MARK in block]
    unknown = [message for message in messages if type(message) is not KnownMessage]  # the others have none
    if not any(_is_marked(block) for message in unknown for block in message["content"]):
        return tuple(marks)
    position = len(tools) + len(system)
    for message in messages:
        marks += [index for index, block in enumerate(message["content"], position + 1) if _is_marked(block)]
        position += len(message["content"])
    return tuple(marks)


def _is_marked(block: Block) -> bool:
    inner = block.get("content")
    return _MARK in block or (isinstance(inner, list) and any(isinstance(one, dict) and _MARK in one for one in inner))
