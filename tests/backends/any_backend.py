"""Any backend in front of a simulator, for tests that hold for several backends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias, cast

import pytest
from api_harness import Api, api
from backend_harness import Cli, Runtime, command_line, runtime, without_marks

from dragoman.core.messages import Block, Message

Either: TypeAlias = Api | Runtime | Cli

BACKENDS = pytest.mark.parametrize("kind", ["runtime", "api"])

WITH_TEXT = pytest.mark.parametrize("kind", ["runtime", "api", "cli"])
"""Also the backend that supports a single text only."""


@asynccontextmanager
async def either(kind: str, folder: Path, *, retries: int = 0) -> AsyncIterator[Either]:
    """A backend of a kind."""
    if kind == "api":
        async with api(retries=retries) as direct:
            yield direct
    elif kind == "cli":
        async with command_line(folder, retries=retries) as printed:
            yield printed
    else:
        async with runtime(folder, retries=retries) as through:
            yield through


def client_messages(harness: Either, call: int = -1) -> list[Message]:
    """Return the client's own messages of a call: without marks, reminders, effort messages and thinking."""
    messages: list[Message] = []
    for message in cast("list[Message]", without_marks(harness.calls[call].body["messages"])):
        content = [_plain(block) for block in message["content"] if not _added(block)]
        if message["role"] != "system":
            messages.append(Message(role=message["role"], content=content))
    return messages


def _added(block: Block) -> bool:
    return block["type"] == "thinking" or str(block.get("text", "")).startswith("<system-reminder>")


def _plain(block: Block) -> Block:
    if block["type"] == "tool_result" and isinstance(block["content"], str):
        return {**block, "content": [{"type": "text", "text": block["content"]}]}
    return block
