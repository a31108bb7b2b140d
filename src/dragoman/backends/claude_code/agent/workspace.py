"""A directory of an agent's own, beside the one it works in: for what the runtime writes down while it runs."""

from pathlib import Path

import msgspec

from dragoman.backends.claude_code.agent.servers import SECRETS, Servers, configuration
from dragoman.backends.shared import installation

FOLDER = "agents"
"""Where they all are, in the state directory."""


class AgentWorkspace:
    """The directory, for the gateway's user alone, and what stands in it.

    Attributes:
        config: The runtime's configuration directory.
        scratch: Its temporary files.
        cache: What its commands keep for the next time, of which there is none.
        shell: What each command's shell runs first: it forgets the keys that the runtime needs.
        servers: The servers of further tools; None where there are none.
    """

    def __init__(self, state_dir: Path, run: str, servers: Servers, mark: str) -> None:
        """Make it.

        Args:
            state_dir: The gateway's own directory.
            run: The run's id.
            servers: Servers of further tools, by name.
            mark: By which their processes are known.
        """
        self._path = installation.run_path(state_dir / FOLDER, run)
        self.config = self._path / "claude"
        self.scratch = self._path / "tmp"
        self.cache = self._path / "cache"
        self.shell = self._path / "shell"
        self.servers = self._path / "mcp.json" if servers else None
        for folder in (self._path, self.config, self.scratch, self.cache):
            folder.mkdir(mode=0o700, parents=True)
        installation.write_private(self.shell, f"unset {' '.join(SECRETS)}\n")
        if self.servers:
            installation.write_private(self.servers, msgspec.json.encode(configuration(servers, mark)).decode())

    def remove(self) -> None:
        """Remove it with all that is in it."""
        installation.remove(self._path)
