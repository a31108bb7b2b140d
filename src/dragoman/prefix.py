"""The name of a conversation: a hash of everything the model would see before the next message.

Two conversations have the same name if the one can be gone on with where the other stands. What clients drop when they
send an assistant message back (thinking, citations, how its text was cut into blocks) and cache marks do not count;
everything else does.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from dragoman.messages import JSON, Block, JSONObject, Message, MessagesRequest

THINKING = frozenset({"thinking", "redacted_thinking"})
"""Types of blocks that hold what the model thought."""

_PASSING_KEYS = frozenset({"cache_control", "citations"})
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


class Prefix:
    """A conversation that grows message by message.

    Args:
        fixed: What holds for the whole of it: model, system prompt, tools.
        exact: Whether thinking counts, too: as the API sees it.
    """

    def __init__(self, fixed: JSONObject, *, exact: bool = False) -> None:
        self._digest = hashlib.sha256(_encoded(fixed))
        self._unsaid = frozenset[str]() if exact else THINKING

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


def fixed_parts(body: MessagesRequest) -> JSONObject:
    """What holds for the whole of a request's conversation."""
    return cast("JSONObject", {key: body.get(key) for key in ("model", "system", "tools")})


def fingerprint(fixed: JSONObject, messages: Iterable[Message]) -> str:
    """The name of a whole conversation; see `Prefix`."""
    prefix = Prefix(fixed)
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
