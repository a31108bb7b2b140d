"""The command-line backend over the real `claude`, in front of a simulator."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from runtime_harness import Answer

from dragoman.backends.base import RunRequest
from dragoman.backends.claude_cli import ClaudeCliBackend, ClaudeCliOptions
from dragoman.catalog import Catalog
from dragoman.events import Event
from dragoman.fold import fold
from dragoman.messages import Message, MessagesRequest
from dragoman.simulator import Received, Simulator


@dataclass
class Cli:
    """A backend under test."""

    backend: ClaudeCliBackend
    simulator: Simulator
    options: ClaudeCliOptions

    def request(self, messages: Sequence[Message], model: str = "claude-sonnet-4-5", **body: object) -> RunRequest:
        """A request as the wire makes it."""
        whole = cast("MessagesRequest", {"model": model, "messages": list(messages), **body})
        return RunRequest("run_test", Catalog().resolve(model).model, whole)

    async def ask(self, messages: Sequence[Message], model: str = "claude-sonnet-4-5", **body: object) -> Answer:
        """Run to the end."""
        events: list[Event] = []
        await self.read(messages, model, into=events, **body)
        return Answer(events, fold(events))

    async def read(
        self, messages: Sequence[Message], model: str = "claude-sonnet-4-5", *, into: list[Event], **body: object
    ) -> None:
        """Run, and keep the events, also where the run fails in between."""
        async with aclosing(self.backend.run(self.request(messages, model, **body))) as running:
            async for event in running:
                into += [event]

    @property
    def calls(self) -> list[Received]:
        """What reached the API."""
        return self.simulator.calls

    @property
    def files(self) -> list[Path]:
        """Files of runs: what was printed, and system prompts."""
        state = self.options.state_dir
        return [
            path
            for folder in (state, state / "output", state / "prompts")
            for path in sorted(folder.iterdir())
            if path.is_file()
        ]


@asynccontextmanager
async def command_line(folder: Path, **options: object) -> AsyncIterator[Cli]:
    """A backend on a simulator of its own."""
    async with Simulator() as simulator:
        given = {"retries": 0, "api_key": "sk-ant-dummy", **options}
        made = ClaudeCliOptions(
            state_dir=folder / "state",
            base_url=simulator.url,
            **given,  # type: ignore[arg-type]
        )
        backend = ClaudeCliBackend(made)
        await backend.start()
        try:
            yield Cli(backend, simulator, made)
        finally:
            await backend.aclose()
            assert not backend._runs


def stand_in(folder: Path, program: str, flags: Sequence[str] = ()) -> Path:
    """A command that answers `--help` as an installation with these options would, and else does what it is told."""
    path = folder / "claude"
    helped = "\n".join(["--print", "--output-format", *flags])
    path.write_text(f'#!/bin/sh\nif [ "$1" = --help ]; then cat <<EOF\n{helped}\nEOF\nexit 0; fi\n{program}\n')
    path.chmod(0o700)
    return path
