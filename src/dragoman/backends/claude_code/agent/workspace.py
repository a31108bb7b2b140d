"""What an agent's run leaves behind, and its removal: the runtime's files, and the processes of its commands."""

import contextlib
from pathlib import Path

import msgspec
import psutil

from dragoman.backends.claude_code.agent.servers import SECRET_VARIABLES, Servers, configuration
from dragoman.backends.shared import installation

FOLDER = "agents"
"""The name of the directory of all workspaces, in the state directory."""

MARK = "DRAGOMAN_AGENT"
"""The environment variable that marks every process of an agent. Programs pass it on to the programs they start."""

_MAX_ROUNDS = 100


class AgentWorkspace:
    """A private directory of one run, apart from the directory that the agent works in. The caller removes it.

    Attributes:
        path: The directory.
        home: The home of the runtime and its commands.
        config: The runtime's configuration directory.
        scratch: The directory of its temporary files.
        cache: The cache directory of its commands. It is not kept.
        shell_setup: A script that every command's shell runs first. It unsets the runtime's keys.
        server_file: The configuration of the client's MCP servers; None without servers.
    """

    def __init__(self, state_dir: Path, run: str, servers: Servers, mark: str) -> None:
        """Name the files. `create` writes them.

        Args:
            state_dir: The gateway's own directory.
            run: A unique name.
            servers: The client's MCP servers.
            mark: The value of `MARK` in the environment of their processes.
        """
        self.path = installation.run_path(state_dir / FOLDER, run)
        self._servers = servers
        self._mark = mark
        self.home = self.path / "home"
        self.config = self.path / "claude"
        self.scratch = self.path / "tmp"
        self.cache = self.path / "cache"
        self.shell_setup = self.path / "shell"
        self.server_file = self.path / "mcp.json" if servers else None

    def create(self) -> None:
        """Create the directories and files, for the gateway's user alone. Blocks."""
        for folder in (self.path, self.home, self.config, self.scratch, self.cache):
            folder.mkdir(mode=0o700, parents=True)
        installation.write_private(self.shell_setup, f"unset {' '.join(SECRET_VARIABLES)}\n")
        if self.server_file is not None:
            content = configuration(self._servers, {MARK: self._mark})
            installation.write_private(self.server_file, msgspec.json.encode(content).decode())

    def remove(self) -> None:
        """Remove the directory with its contents. Blocks. Idempotent."""
        installation.remove(self.path)


def descendants(pid: int) -> list[psutil.Process]:
    """Return the processes that a process started, and theirs, as far as all parents are alive. Blocks.

    The runtime gives each command a session of its own, so killing the runtime's process group does not end them.
    """
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []


def end_descendants(mark: str, known: list[psutil.Process]) -> None:
    """Kill the known processes, and all processes with the mark, until none is left. Blocks for some 10 ms or more.

    Several rounds are needed: a process may start another one in the meantime.
    """
    for process in known:
        _kill(process)
    for _ in range(_MAX_ROUNDS):
        if not (found := [process for process in psutil.process_iter() if _has_mark(process, mark)]):
            return
        for process in found:
            _kill(process)


def _has_mark(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.kill()
