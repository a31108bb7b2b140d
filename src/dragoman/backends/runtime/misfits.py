"""What the API refuses, and the runtime would put right in silence: then the model would answer something else.

Calls without results and results without calls get words of the runtime's own; blank texts are left out.
"""

from collections.abc import Iterable, Sequence
from itertools import takewhile

from dragoman.errors import InvalidRequest
from dragoman.messages import Block, Message


def refuse_misfits(messages: Sequence[Message]) -> None:
    """Check a conversation in which the roles take turns.

    Raises:
        InvalidRequest: As the API would.
    """
    owed: list[str] = []
    made: set[str] = set()
    for message in messages:
        content = message["content"]
        if any(block.get("type") == "text" and not str(block.get("text")).strip() for block in content):
            raise _refusal("Text blocks must hold more than white space.")
        _check_results(content, owed)
        owed = _ids(content, "tool_use", "id") if message["role"] == "assistant" else []
        if len({*made, *owed}) < len(made) + len(owed):
            raise _refusal("The ids of `tool_use` blocks must be unique.")
        made.update(owed)
    _check_results([], owed)


def _check_results(content: Sequence[Block], owed: Sequence[str]) -> None:
    """The results stand in front, one for each call of the message before."""
    given = _ids(content, "tool_result", "tool_use_id")
    front = _ids(takewhile(lambda block: block.get("type") == "tool_result", content), "tool_result", "tool_use_id")
    if missing := [id_ for id_ in owed if id_ not in front]:
        raise _refusal(
            f"The results of calls must be the first blocks of the next message; missing: {_list(missing)}.",
            "missing_tool_result",
        )
    if strange := [id_ for id_ in given if id_ not in owed]:
        raise _refusal(f"There are results of calls that the message before did not make: {_list(strange)}.")
    if len(set(given)) < len(given):
        raise _refusal("A call may have one result only.")


def _ids(blocks: Iterable[Block], kind: str, key: str) -> list[str]:
    return [str(block.get(key)) for block in blocks if block.get("type") == kind]


def _list(ids: Sequence[str]) -> str:
    return ", ".join(f"`{id_}`" for id_ in ids)


def _refusal(words: str, code: str | None = None) -> InvalidRequest:
    return InvalidRequest(words, code=code, param="messages")
