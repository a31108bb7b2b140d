"""A gateway in the background, started and ended as users do it."""

import os
import re
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from commands import Ended, run

from dragoman.cli.instances import InstanceRegistry

_SAID = re.compile(r"OpenAI base URL +(?P<url>http://[^ ]+)/v1\n.*pid (?P<pid>[0-9]+)", re.DOTALL)


@dataclass(frozen=True)
class BackgroundGateway:
    """A gateway that was started in the background."""

    home: Path
    said: str

    @property
    def url(self) -> str:
        """Where it answers."""
        return self._found("url")

    @property
    def pid(self) -> int:
        """Its process."""
        return int(self._found("pid"))

    def _found(self, part: str) -> str:
        found = _SAID.search(self.said)
        assert found, self.said
        return found[part]


def registry(home: Path) -> InstanceRegistry:
    """What runs with a home's state directory."""
    return InstanceRegistry(home / "state" / "dragoman")


@asynccontextmanager
async def background_gateway(
    home: Path, *arguments: str, added: Mapping[str, str] | None = None, port: int = 0
) -> AsyncIterator[BackgroundGateway]:
    """Start one; end whatever still runs at the end."""
    try:
        ended = await start(home, *arguments, added=added, port=port)
        assert ended.code == 0, ended.err
        yield BackgroundGateway(home, ended.out)
    finally:
        kill_all(home)


async def start(home: Path, *arguments: str, added: Mapping[str, str] | None = None, port: int = 0) -> Ended:
    """Run `serve --background`, without processes that wait."""
    return await run(home, "serve", "--background", "--port", str(port), "--spares", "0", *arguments, added=added)


def kill_all(home: Path) -> None:
    """End every gateway of a home."""
    for record in registry(home).running():
        os.kill(record.pid, signal.SIGKILL)
