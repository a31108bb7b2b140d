"""Tool calls and their results: each call answered, and only calls answered."""

import re
from collections.abc import Iterator

from dragoman.messages import Block
from dragoman.simulator.call import Call
from dragoman.simulator.problem import refuse
from dragoman.simulator.rules.blocks import placed_blocks
from dragoman.simulator.shapes import blocks_of, text_of

_ID = re.compile(r"[a-zA-Z0-9_-]+")

Turn = tuple[str, list[tuple[int, int, Block]]]
"""A role, and its blocks with the index of their message and their place in it."""


def turns(call: Call) -> list[Turn]:
    """The conversation as the API reads it: messages of one role in a row are one turn; empty ones are none."""
    merged: list[Turn] = []
    for index, message in enumerate(call.messages):
        role = text_of(message["role"])
        blocks = [(index, place, block) for place, block in enumerate(blocks_of(message.get("content")))]
        if blocks and merged and merged[-1][0] == role:
            merged[-1][1].extend(blocks)
        elif blocks:
            merged.append((role, blocks))
    return merged


def unique_ids(call: Call) -> None:
    """Ids of calls are plain words, and no two are the same."""
    seen: set[str] = set()
    for path, _role, block in placed_blocks(call):
        if block["type"] != "tool_use":
            continue
        id_ = text_of(block["id"])
        if not _ID.fullmatch(id_):
            raise refuse(f"{path}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
        if id_ in seen:
            raise refuse(f"{path}: `tool_use` ids must be unique")
        seen.add(id_)
        if not isinstance(block["input"], dict):
            raise refuse(f"{path}.tool_use.input: Input should be a valid dictionary")


def answered(call: Call) -> None:
    """The results of a turn's calls stand at the front of the next turn."""
    merged = turns(call)
    for place, (role, blocks) in enumerate(merged):
        asked = _ids(blocks, "tool_use", "id") if role == "assistant" else {}
        if not asked:
            continue
        following = merged[place + 1][1] if place + 1 < len(merged) else []
        given = _ids(_front(following), "tool_result", "tool_use_id")
        if missing := [id_ for id_ in asked if id_ not in given]:
            index = asked[missing[0]].split(".")[1]
            raise refuse(
                f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                "next message."
            )


def asked(call: Call) -> None:
    """A result answers a call of the turn before, once."""
    before: dict[str, str] = {}
    for role, blocks in turns(call):
        given: set[str] = set()
        for index, place, block in blocks:
            if block["type"] != "tool_result":
                continue
            id_ = text_of(block["tool_use_id"])
            if id_ not in before:
                raise refuse(
                    f"messages.{index}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks: {id_}. "
                    "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
                )
            if id_ in given:
                raise refuse(
                    f"messages.{index}.content.{place}: each tool_use must have a single result. Found multiple "
                    f"`tool_result` blocks with id: {id_}"
                )
            given.add(id_)
        before = _ids(blocks, "tool_use", "id") if role == "assistant" else {}


def _ids(blocks: list[tuple[int, int, Block]], kind: str, key: str) -> dict[str, str]:
    """The ids of the blocks of a kind, and where they stand."""
    return {
        text_of(block[key]): f"messages.{index}.content.{place}"
        for index, place, block in blocks
        if block["type"] == kind
    }


def _front(blocks: list[tuple[int, int, Block]]) -> list[tuple[int, int, Block]]:
    """The results that nothing else stands before."""
    return list(_while_result(blocks))


def _while_result(blocks: list[tuple[int, int, Block]]) -> Iterator[tuple[int, int, Block]]:
    for placed in blocks:
        if placed[2]["type"] != "tool_result":
            return
        yield placed
