"""The name of a conversation: a hash of everything the model would see before the next user message.

Two requests have the same name if the process that holds the one can answer the other's next turn. What clients drop
when they send an assistant message back (thinking, citations, how its text was cut into blocks) and cache marks do not
count; everything else does.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from dragoman.messages import JSON, Block, JSONObject, Message

_encode = msgspec.json.Encoder(order="deterministic").encode
_UNSAID = frozenset({"thinking", "redacted_thinking"})
_PASSING_KEYS = frozenset({"cache_control", "citations"})


def fingerprint(fixed: JSONObject, messages: Sequence[Message]) -> str:
    """The name of a conversation.

    Args:
        fixed: What holds for the whole of it: model, system prompt, tools.
        messages: The messages so far.
    """
    digest = hashlib.sha256(_encode(fixed))
    for message in messages:
        digest.update(_encode([message["role"], _normalized(message["content"])]))
    return digest.hexdigest()


def _normalized(content: Sequence[Block]) -> list[JSON]:
    parts: list[JSON] = []
    text = ""
    for block in content:
        kind = block.get("type")
        if kind == "text":
            text += str(block["text"])
        elif kind not in _UNSAID:
            parts += [text, {key: value for key, value in block.items() if key not in _PASSING_KEYS}]
            text = ""
    return [*parts, text]
