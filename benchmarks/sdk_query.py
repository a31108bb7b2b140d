"""The comparison: the official SDK's `query`, which starts a process of Claude Code for each request."""

import asyncio
import os
import time
from contextlib import aclosing
from pathlib import Path
from typing import cast

from claude_agent_sdk import ClaudeAgentOptions, StreamEvent, query

_ACCOUNT_PREFIXES = ("ANTHROPIC_", "CLAUDE")


class SdkQuery:
    """Asks through the SDK, without this machine's settings and account.

    Args:
        home: An empty directory.
        api: The address of the API.
        model: The model to ask.
    """

    def __init__(self, home: Path, api: str, model: str) -> None:
        work = home / "work"
        work.mkdir(parents=True)
        # The SDK adds the environment of this program to that of the process.
        for name in [name for name in os.environ if name.startswith(_ACCOUNT_PREFIXES)]:
            del os.environ[name]
        self._options = ClaudeAgentOptions(
            model=model,
            system_prompt="",
            tools=[],
            setting_sources=[],
            include_partial_messages=True,
            cwd=work,
            env={
                "HOME": str(home),
                "CLAUDE_CONFIG_DIR": str(home / "claude"),
                "ANTHROPIC_BASE_URL": api,
                "ANTHROPIC_API_KEY": "sk-ant-dummy",
                "CLAUDE_CODE_SIMPLE": "1",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            },
        )

    def first_token(self, prompt: str) -> float:
        """Return the seconds from the call of `query` to the first text."""
        return asyncio.run(self._first_token(prompt))

    async def _first_token(self, prompt: str) -> float:
        began = time.perf_counter()
        seconds = 0.0
        async with aclosing(query(prompt=prompt, options=self._options)) as messages:  # type: ignore[type-var] # a generator
            async for message in messages:
                if not seconds and isinstance(message, StreamEvent) and _is_text(message):
                    seconds = time.perf_counter() - began
        if not seconds:
            raise SystemExit("The SDK's query gave no text.")
        return seconds


def _is_text(message: StreamEvent) -> bool:
    event = message.event
    return event.get("type") == "content_block_delta" and "text" in cast("dict[str, object]", event["delta"])
