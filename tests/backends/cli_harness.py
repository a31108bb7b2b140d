"""The command-line backend over the real `claude`, in front of a simulator."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime_harness import Harness

from dragoman.backends.claude_cli.backend import ClaudeCliBackend
from dragoman.backends.claude_cli.options import ClaudeCliOptions
from dragoman.simulator.server import Simulator


@dataclass
class Cli(Harness[ClaudeCliBackend]):
    """The command-line backend."""

    options: ClaudeCliOptions

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
