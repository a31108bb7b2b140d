"""Starting Claude Code."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from dragoman.backends.claude_code.installation import Installation, locate
from dragoman.backends.processes import Process
from dragoman.errors import UpstreamFailed


async def launch(options: Installation, arguments: Sequence[str], env: Mapping[str, str], cwd: Path) -> Process:
    """Start a process of it.

    Raises:
        UpstreamFailed: There is no runtime, or it cannot be started.
    """
    try:
        return await Process.spawn([str(locate(options)), *arguments], env=env, cwd=cwd)
    except OSError as error:
        words = f"The Claude Code runtime cannot be started: {error.strerror}."
        raise UpstreamFailed(words, code="runtime_missing") from error
