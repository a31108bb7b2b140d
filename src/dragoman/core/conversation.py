"""Identify conversations: by a hash of everything the model sees, and by a cheap key for routing.

Two conversations have the same hash if the one can continue where the other ended. Differences that clients make when
they send an assistant message back do not count: missing thinking and citations, and text that is cut into blocks at
other places. Cache marks do not count either. Everything else does.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Self, cast

import msgspec

from dragoman.core.known_message import KnownMessage
from dragoman.core.messages import JSON, Block, JSONObject, Message, MessagesRequest

THINKING_TYPES = frozenset({"thinking", "redacted_thinking"})
"""Types of the content blocks that contain the model's thinking."""

_OPERATOR_CLIENTS = frozenset({"local", "key"})
"""Names of the operator as a client: without a key, and with the gateway's own key."""

_NOT_HASHED_KEYS = frozenset({"cache_control", "citations"})
_MAX_KEY_TEXT = 2000
"""Characters of each end of a text that count for `conversation_key`."""
_KEY_BYTES = 8
_KEY_MASK = (1 << 64) - 1

_encode = msgspec.json.Encoder(order="sorted").encode
_encode_any = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode
"""Encodes what the fast encoder refuses: half of a character. Both write the same JSON."""


class ConversationHash:
    """A hash of a conversation that grows message by message.

    The names of stored data depend on it: a change of what is hashed makes stored thinking unreachable.

    Args:
        fixed: What holds for the whole conversation: model, system prompt, tools.
        exact: Whether thinking is hashed, too: then the hash covers what the API receives.
    """

    def __init__(self, fixed: JSONObject, *, exact: bool = False) -> None:
        self._digest = hashlib.sha256(_encoded(fixed))
        self._skipped_types = frozenset[str]() if exact else THINKING_TYPES

    def add(self, message: Message) -> None:
        """Add the next message."""
        if not isinstance(message, KnownMessage) or not THINKING_TYPES.isdisjoint(message.types):
            self._digest.update(self._hashed(message))
            return
        if message.hashed is None:
            message.hashed = self._hashed(cast("Message", message))
        self._digest.update(message.hashed)

    def _hashed(self, message: Message) -> bytes:
        pieces = [b"\nrole ", message["role"].encode()]
        text = ""  # adjacent texts are hashed as one, however they were cut
        for block in message["content"]:
            kind = block.get("type")
            if kind == "text":
                text += str(block["text"])
            elif kind not in self._skipped_types:
                # The length comes first, so that no text can look like a block or like two texts.
                words, part = _text_bytes(text), _encoded(_hashed_part(block))
                pieces += (b"\ntext %d " % len(words), words, b"\nblock %d " % len(part), part)
                text = ""
        words = _text_bytes(text)
        pieces += (b"\ntext %d " % len(words), words)
        return b"".join(pieces)

    def extend(self, messages: Iterable[Message]) -> Self:
        """Add messages, and return the hash itself."""
        for message in messages:
            self.add(message)
        return self

    def copy(self) -> "ConversationHash":
        """Return a hash of the same conversation that grows by itself: a branch, or the next turn."""
        copied = object.__new__(ConversationHash)
        copied._digest, copied._skipped_types = self._digest.copy(), self._skipped_types
        return copied

    @property
    def name(self) -> str:
        """The hash of the conversation so far: 64 hexadecimal digits."""
        return self._digest.hexdigest()


def hashed_fields(body: MessagesRequest) -> JSONObject:
    """Return the fields of a request that hold for its whole conversation."""
    return cast("JSONObject", {key: body.get(key) for key in ("model", "system", "tools")})


def client_scope(client: str) -> JSONObject:
    """Return what keeps the conversations of one client apart from those of others, for the fields of a hash.

    The operator's is empty: conversations that were stored before clients were kept apart are still found.

    Args:
        client: The name of the client's key.
    """
    return {} if client in _OPERATOR_CLIENTS else {"client": client}


def has_thinking(message: Message) -> bool:
    """Return whether a message contains thinking."""
    if isinstance(message, KnownMessage):
        return not THINKING_TYPES.isdisjoint(message.types)
    return any(block.get("type") in THINKING_TYPES for block in message["content"])


def have_thinking(messages: Sequence[Message]) -> bool:
    """Return whether any of these messages contains thinking."""
    has_none = THINKING_TYPES.isdisjoint
    unsure = [
        one
        for one in cast("Sequence[Message | KnownMessage]", messages)
        if type(one) is not KnownMessage or not has_none(one.types)
    ]
    return any(map(has_thinking, cast("list[Message]", unsure)))


def without_thinking(messages: Iterable[Message]) -> list[Message]:
    """Return the messages without thinking, and without messages that are empty then.

    Args:
        messages: The messages; they are not changed.
    """
    stripped = [_without_thinking(message) if has_thinking(message) else message for message in messages]
    return [message for message in stripped if message["content"]]


def conversation_key(body: MessagesRequest) -> int:
    """Return a key of a conversation: of its system prompt and first message, which all its turns have in common.

    It is cheap, and the same on every machine. Of long texts only the ends count. Conversations that begin with the
    same words share a key, and so an upstream, and so the cached beginning of their prompts.
    """
    digest = blake2b(digest_size=_KEY_BYTES)
    for blocks in (body.get("system") or (), *(message["content"] for message in body["messages"][:1])):
        for block in blocks:
            digest.update(_key_part(block).encode(errors="surrogatepass"))
    return int.from_bytes(digest.digest())


def seed_of(name: str) -> int:
    """Return the seed of an upstream for `rank_of`: the same for its name on every machine."""
    return int.from_bytes(blake2b(name.encode(), digest_size=_KEY_BYTES).digest()) | 1


def rank_of(seed: int, key: int) -> int:
    """Return the rank of an upstream for a conversation: each conversation orders the upstreams in its own way."""
    return (key * seed) & _KEY_MASK


def _hashed_part(block: Block) -> Block:
    if "cache_control" in block or "citations" in block:
        return {key: value for key, value in block.items() if key not in _NOT_HASHED_KEYS}
    return block


def _text_bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _encoded(value: JSON) -> bytes:
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode_any(value).encode(errors="surrogatepass")


def _without_thinking(message: Message) -> Message:
    content = [block for block in message["content"] if block.get("type") not in THINKING_TYPES]
    return cast("Message", {**message, "content": content})


def _key_part(block: Block) -> str:
    text = block.get("text")
    if isinstance(text, str):
        if len(text) <= 2 * _MAX_KEY_TEXT:
            return text
        return f"{len(text)}{text[:_MAX_KEY_TEXT]}{text[-_MAX_KEY_TEXT:]}"
    source = block.get("source")
    data = source.get("data") or source.get("url") or source.get("file_id") if isinstance(source, dict) else ""
    return f"{block.get('type')}{str(data)[-_MAX_KEY_TEXT:]}"
