"""A gateway in the background, started and stopped with the command line."""

import os
import re
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from commands import Ended, run

from dragoman.cli.instances import InstanceRegistry

_STARTED = re.compile(r"OpenAI base URL +(?P<url>http://[^ ]+)/v1\n.*pid (?P<pid>[0-9]+)", re.DOTALL)


@dataclass(frozen=True)
class BackgroundGateway:
    """A gateway in the background.

    Attributes:
        home: Its home directory.
        output: What the command that started it printed.
    """

    home: Path
    output: str

    @property
    def url(self) -> str:
        """Its URL."""
        return self._found("url")

    @property
    def pid(self) -> int:
        """Its process id."""
        return int(self._found("pid"))

    def _found(self, part: str) -> str:
        found = _STARTED.search(self.output)
        assert found, self.output
        return found[part]


def registry(home: Path) -> InstanceRegistry:
    """Return the registry in the state directory of a home."""
    return InstanceRegistry(home / "state" / "dragoman")


@asynccontextmanager
async def background_gateway(
    home: Path, *arguments: str, added: Mapping[str, str] | None = None, port: int = 0
) -> AsyncIterator[BackgroundGateway]:
    """Start a gateway. Kill every gateway of the home at the end."""
    try:
        ended = await start(home, *arguments, added=added, port=port)
        assert ended.code == 0, ended.err
        yield BackgroundGateway(home, ended.out)
    finally:
        kill_all(home)


async def start(home: Path, *arguments: str, added: Mapping[str, str] | None = None, port: int = 0) -> Ended:
    """Run `dragoman serve --background`, without warm processes."""
    return await run(home, "serve", "--background", "--port", str(port), "--spares", "0", *arguments, added=added)


def kill_all(home: Path) -> None:
    """Kill every gateway of a home."""
    for record in registry(home).running():
        os.kill(record.pid, signal.SIGKILL)
