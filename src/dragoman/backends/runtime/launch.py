"""Starting the runtime."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from dragoman.backends.processes import Process
from dragoman.backends.runtime import command
from dragoman.backends.runtime.options import RuntimeOptions
from dragoman.errors import UpstreamFailed


async def launch(options: RuntimeOptions, arguments: Sequence[str], env: Mapping[str, str], cwd: Path) -> Process:
    """Start a process of it.

    Raises:
        UpstreamFailed: There is no runtime, or it cannot be started.
    """
    try:
        return await Process.spawn([str(command.locate(options)), *arguments], env=env, cwd=cwd)
    except OSError as error:
        words = f"The Claude Code runtime cannot be started: {error.strerror}."
        raise UpstreamFailed(words, code="runtime_missing") from error
