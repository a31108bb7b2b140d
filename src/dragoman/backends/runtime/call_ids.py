"""Ids of tool calls, as the runtime tells them apart.

An id that is another one before it and a number (`call_1`, then `call_1_2`) is a copy to the runtime: it would put
words of its own in the place of that call's result.
"""

import re
from collections.abc import Sequence

from dragoman.messages import Block, Message
from dragoman.notices import Notice

_COPY = re.compile(r"(?P<of>.+)_(?P<number>\d+)")


def told_apart(messages: list[Message]) -> tuple[list[Message], list[Notice]]:
    """The messages, with other ids where one looks like a copy, in calls and results alike.

    What was renamed stays so as the conversation grows: only what stands before an id counts.
    """
    names = _names([str(block.get("id")) for message in messages for block in _calls(message)])
    if not names:
        return messages, []
    renamed = [Message(role=m["role"], content=[_renamed(b, names) for b in m["content"]]) for m in messages]
    said = ", ".join(f"`{old}` as `{new}`" for old, new in names.items())
    return renamed, [Notice("renamed", "messages", f"Ids of calls that look like copies were sent anew: {said}.")]


def _calls(message: Message) -> list[Block]:
    return [block for block in message["content"] if block.get("type") == "tool_use"]


def _names(ids: Sequence[str]) -> dict[str, str]:
    """The new name of each id that needs one."""
    names: dict[str, str] = {}
    taken, before = set(ids), set[str]()
    for id_ in ids:
        copy = _COPY.fullmatch(id_)
        if copy and copy["of"] in before and id_ not in before:
            name = f"{copy['of']}-{copy['number']}"
            while name in taken:
                name = f"{name}-"
            taken.add(name)
            names[id_] = name
        before.add(id_)
    return names


def _renamed(block: Block, names: dict[str, str]) -> Block:
    key = {"tool_use": "id", "tool_result": "tool_use_id"}.get(str(block.get("type")))
    name = names.get(str(block.get(key))) if key else None
    return {**block, key: name} if key and name else block
