"""Messages that many requests share, each with what was made from it once: its JSON, and what its hash is made of.

An agent sends its whole conversation with every request. What depends on one message alone need not be made again.
"""

from functools import lru_cache
from typing import Any, cast

import msgspec

from dragoman.core.messages import JSON, JSONObject, Message, Role

_encode = msgspec.json.Encoder().encode


class KnownMessage(dict[str, Any]):
    """A message that many requests share. It has no cache marks. Neither it nor anything in it may be changed.

    Args:
        role: The role.
        content: The content blocks.

    Attributes:
        raw: Its JSON.
        size: Bytes of its JSON.
        types: The types of its blocks.
        hashed: What `ConversationHash` hashes of it; None before the first time.
    """

    __slots__ = ("hashed", "raw", "size", "types")

    def __init__(self, role: Role, content: list[JSONObject]) -> None:
        self["role"], self["content"] = role, content
        encoded = _encode(self)
        self.raw, self.size = msgspec.Raw(encoded), len(encoded)
        self.types = _types(*[str(block["type"]) for block in content])
        self.hashed: bytes | None = None


def spliced(body: JSONObject) -> JSONObject:
    """Return a body whose known messages are their JSON, so that encoding the body copies them.

    Args:
        body: A request's body; it is not changed.
    """
    messages = [
        one.raw if type(one) is KnownMessage else one for one in cast("list[Message | KnownMessage]", body["messages"])
    ]
    return {**body, "messages": cast("JSON", messages)}


@lru_cache
def _types(*types: str) -> frozenset[str]:
    return frozenset(types)
