"""Messages and tools that many requests share, each with what was made from it once, such as its JSON.

An agent sends its whole conversation and all its tools with every request. What depends on one message or tool alone
need not be made again.
"""

from functools import lru_cache
from typing import Any, cast

import msgspec

from dragoman.core.long_steps import let_others_run
from dragoman.core.messages import JSON, BareText, Block, JSONObject, Message, MessagesRequest, Role

_encode = msgspec.json.Encoder().encode


class KnownMessage(dict[str, Any]):
    """A message that many requests share. It has no cache marks. Neither it nor anything in it may be changed.

    Args:
        role: The role.
        content: The content blocks.
        encoded: Its JSON as it is sent, if that differs from the message.

    Attributes:
        raw: Its JSON.
        size: Bytes of its JSON.
        types: The types of its blocks.
        hashed: What `ConversationHash` hashes of it; None before the first time.
        digest: Its hash in `dragoman.runs.prompt_parts`; None before the first time.
        tokens: Its tokens, at most, as `dragoman.runs.bounds` counts them; None before the first time.
    """

    __slots__ = ("digest", "hashed", "raw", "size", "tokens", "types")

    def __init__(self, role: Role, content: list[JSONObject], encoded: bytes = b"") -> None:
        self["role"], self["content"] = role, content
        if not encoded:
            encoded = _encode(self)
            let_others_run(len(encoded))
        self.raw, self.size = msgspec.Raw(encoded), len(encoded)
        self.types = _types(*[str(block["type"]) for block in content])
        self.hashed: bytes | None = None
        self.digest: int | None = None
        self.tokens: int | None = None


class KnownTool(dict[str, Any]):
    """A tool that many requests share. It has no cache mark. Neither it nor anything in it may be changed.

    Args:
        tool: The tool.

    Attributes:
        raw: Its JSON.
    """

    __slots__ = ("raw",)

    def __init__(self, tool: JSONObject) -> None:
        super().__init__(tool)
        self.raw = msgspec.Raw(_encode(tool))


def spliced(body: JSONObject) -> JSONObject:
    """Return a body whose known messages and tools are their JSON, so that encoding the body copies them.

    Args:
        body: A request's body; it is not changed.
    """
    messages = [
        one.raw if type(one) is KnownMessage else one for one in cast("list[Message | KnownMessage]", body["messages"])
    ]
    copied = {**body, "messages": cast("JSON", messages)}
    if tools := body.get("tools"):
        copied["tools"] = spliced_tools(tools)
    return copied


def spliced_tools(tools: JSON) -> JSON:
    """Return tools of a body, or blocks of its system prompt. The known tools are their JSON."""
    if not isinstance(tools, list):
        return tools
    return cast("JSON", [one.raw if type(one) is KnownTool else one for one in cast("list[JSON | KnownTool]", tools)])


def as_sent(body: MessagesRequest) -> JSONObject:
    """Return the body as the client wrote it, to be encoded as JSON: content that came as a bare string is one again.

    Args:
        body: The canonical request; it is not changed.
    """
    sent = spliced(cast("JSONObject", body))
    messages = cast("list[Message | msgspec.Raw]", sent["messages"])
    sent["messages"] = [cast("JSON", one) if type(one) is msgspec.Raw else _message_as_sent(one) for one in messages]
    if type(system := body.get("system")) is BareText:
        sent["system"] = _bare_text(system)
    return sent


def _message_as_sent(message: Message) -> JSON:
    if type(content := message["content"]) is not BareText:
        return cast("JSON", message)
    return {**cast("JSONObject", message), "content": _bare_text(content)}


def _bare_text(content: list[Block]) -> JSON:
    return content[0]["text"] if content else ""


@lru_cache
def _types(*types: str) -> frozenset[str]:
    return frozenset(types)
