"""The name of a conversation: a hash of everything the model would see before the next message.

Two conversations have the same name if the one can be gone on with where the other stands. What clients drop when they
send an assistant message back (thinking, citations, how its text was cut into blocks) and cache marks do not count;
everything else does.

What tells conversations apart where they are to stay with one account: cheap, and the same on every machine.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import cast

from dragoman.core.messages import JSON, Block, JSONObject, Message, MessagesRequest

THINKING_TYPES = frozenset({"thinking", "redacted_thinking"})
"""Types of blocks that hold what the model thought."""

_PASSING_KEYS = frozenset({"cache_control", "citations"})
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


class ConversationHash:
    """A conversation that grows message by message.

    Args:
        fixed: What holds for the whole of it: model, system prompt, tools.
        exact: Whether thinking counts, too: as the API sees it.
    """

    def __init__(self, fixed: JSONObject, *, exact: bool = False) -> None:
        self._digest = hashlib.sha256(_encoded(fixed))
        self._unsaid = frozenset[str]() if exact else THINKING_TYPES

    def add(self, message: Message) -> None:
        """Take the next message."""
        self._digest.update(b"\nrole " + message["role"].encode())
        for part in _parts(message["content"], self._unsaid):
            data = part.encode(errors="surrogatepass") if isinstance(part, str) else _encoded(part)
            # Its length stands before it, so that no text can pass for a block or for two.
            self._digest.update(b"\n%b %d " % (b"text" if isinstance(part, str) else b"block", len(data)))
            self._digest.update(data)

    @property
    def name(self) -> str:
        """The name of the conversation so far: 64 hexadecimal digits."""
        return self._digest.hexdigest()


def hashed_fields(body: MessagesRequest) -> JSONObject:
    """What holds for the whole of a request's conversation."""
    return cast("JSONObject", {key: body.get(key) for key in ("model", "system", "tools")})


def fingerprint(fixed: JSONObject, messages: Iterable[Message]) -> str:
    """The name of a whole conversation; see `Prefix`."""
    prefix = ConversationHash(fixed)
    for message in messages:
        prefix.add(message)
    return prefix.name


def _parts(content: Sequence[Block], unsaid: frozenset[str]) -> Iterator[str | JSONObject]:
    """Texts that follow each other as one, however they were cut, and other blocks."""
    text = ""
    for block in content:
        kind = block.get("type")
        if kind == "text":
            text += str(block["text"])
        elif kind not in unsaid:
            yield text
            yield {key: value for key, value in block.items() if key not in _PASSING_KEYS}
            text = ""
    yield text


def _encoded(value: JSON) -> bytes:
    return _encode(value).encode(errors="surrogatepass")


_ENDS = 2000
_BYTES = 8
_MASK = (1 << 64) - 1


def conversation_key(body: MessagesRequest) -> int:
    """The name of a conversation: by its system prompt and its first message, which all its turns have in common.

    Of long texts the ends are enough. Conversations that begin with the same words share a name, and so the account,
    and so the cached beginning of their prompts.
    """
    name = blake2b(digest_size=_BYTES)
    for blocks in (body.get("system") or (), *(message["content"] for message in body["messages"][:1])):
        for part in _parts_conversation(blocks):
            name.update(part.encode(errors="surrogatepass"))
    return int.from_bytes(name.digest())


def seed_of(account: str) -> int:
    """What `rank_of` needs to know of an account: the same for its name everywhere."""
    return int.from_bytes(blake2b(account.encode(), digest_size=_BYTES).digest()) | 1


def rank_of(seed: int, conversation: int) -> int:
    """Where an account stands for a conversation among its equals: each conversation has an order of its own."""
    return (conversation * seed) & _MASK


def _parts_conversation(blocks: Iterable[Block]) -> Iterable[str]:
    for block in blocks:
        text = block.get("text")
        if isinstance(text, str):
            yield text if len(text) <= 2 * _ENDS else f"{len(text)}{text[:_ENDS]}{text[-_ENDS:]}"
        else:
            source = block.get("source")
            data = source.get("data") or source.get("url") or source.get("file_id") if isinstance(source, dict) else ""
            yield f"{block.get('type')}{str(data)[-_ENDS:]}"
