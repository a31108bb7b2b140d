"""A directory of an agent's own, beside the one it works in: for what the runtime writes down while it runs."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import psutil

_SECRETS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
_FOLDER = "agents"


class Workshop:
    """The directory, for the gateway's user alone, and what stands in it.

    Attributes:
        config: The runtime's configuration directory.
        scratch: Its temporary files.
        cache: What its commands keep for the next time, of which there is none.
        shell: What each command's shell runs first: it forgets the keys that the runtime needs.
        servers: The servers of further tools; None where there are none.
    """

    def __init__(self, state_dir: Path, run: str, servers: Mapping[str, Mapping[str, object]]) -> None:
        """Make it.

        Args:
            state_dir: The gateway's own directory.
            run: The run's id.
            servers: Servers of further tools, by name.
        """
        self._path = state_dir / _FOLDER / f"{os.getpid()}-{run}"
        self.config = self._path / "claude"
        self.scratch = self._path / "tmp"
        self.cache = self._path / "cache"
        self.shell = self._path / "shell"
        self.servers = self._path / "mcp.json" if servers else None
        for folder in (self._path, self.config, self.scratch, self.cache):
            folder.mkdir(mode=0o700, parents=True)
        _write(self.shell, f"unset {' '.join(_SECRETS)}\n")
        if self.servers:
            _write(self.servers, json.dumps({"mcpServers": {name: _bare(server) for name, server in servers.items()}}))

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self._path, ignore_errors=True)


def remove_leftovers(state_dir: Path) -> None:
    """Remove what gateways left that were killed; of our own there is nothing yet."""
    for path in (state_dir / _FOLDER).glob("*-*"):
        owner = path.name.partition("-")[0]
        if owner.isdecimal() and (int(owner) == os.getpid() or not psutil.pid_exists(int(owner))):
            shutil.rmtree(path, ignore_errors=True)


def _bare(server: Mapping[str, object]) -> Mapping[str, object]:
    """A server that is a program gets none of the runtime's keys, unless the client gives it one of its own."""
    if "command" not in server:
        return server
    given = server.get("env")
    return {**server, "env": {**dict.fromkeys(_SECRETS, ""), **(given if isinstance(given, dict) else {})}}


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
