"""Encode a message that is not streamed: the message as Claude gave it, except the input of a call that was cut."""

from typing import cast

import jiter
import msgspec

from dragoman.core.messages import JSON, Block, FinalMessage


def encode_message(message: FinalMessage) -> bytes:
    """Return the message as JSON. The input of every call is an object, as clients and the API itself require."""
    content = [_with_object_input(block) for block in message.get("content") or []]
    return msgspec.json.encode({**message, "content": content})


def _with_object_input(block: Block) -> Block:
    text = block.get("input")
    return {**block, "input": _complete_values(text)} if "input" in block and not isinstance(text, dict) else block


def _complete_values(text: JSON) -> JSON:
    """Return what is complete of an object that a limit cut. Half a text is left out: a client may run the call.

    Args:
        text: The beginning of the object's JSON, or a value that is no object.
    """
    try:
        value = cast("JSON", jiter.from_json(str(text).encode(), partial_mode=True, allow_inf_nan=False))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
