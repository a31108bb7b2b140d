"""A gateway in the background, started and stopped with the command line."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from commands import ALWAYS_INSTALLED, Ended, run, started

from dragoman.cli.gateway_http import find_healthy
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
    home: Path,
    *arguments: str,
    added: Mapping[str, str] | None = None,
    port: int = 0,
    by_command: bool = ALWAYS_INSTALLED,
) -> AsyncIterator[BackgroundGateway]:
    """Start a gateway. Kill every gateway of the home at the end.

    Args:
        home: Its home and working directory.
        arguments: Its arguments.
        added: More environment variables.
        port: Its port; 0 for a free one.
        by_command: Whether `serve --background` starts it. Otherwise the process that this command would start is
            forked, which needs a tenth of the time.
    """
    try:
        if by_command:
            ended = await start(home, *arguments, added=added, port=port)
            assert ended.code == 0, ended.err
            yield BackgroundGateway(home, ended.out)
        else:
            async with _forked(home, *arguments, added=added, port=port) as gateway:
                yield gateway
    finally:
        kill_all(home)


@asynccontextmanager
async def _forked(
    home: Path, *arguments: str, added: Mapping[str, str] | None, port: int
) -> AsyncIterator[BackgroundGateway]:
    """Fork a gateway with the arguments that `serve --background` adds."""
    gateways = registry(home)
    output = gateways.new_output()
    log = f"--log-file={home / 'state' / 'dragoman' / f'gateway-{port}.log'}"
    given = ("serve", "--port", str(port), "--spares", "0", *arguments, log, f"--output={output}")
    with output.open("xb") as file:
        async with started(home, *given, stdout=file.fileno(), stderr=file.fileno(), added=added) as process:
            try:
                while not await asyncio.to_thread(find_healthy, gateways, process.pid):
                    assert process.returncode is None, output.read_text()
                yield BackgroundGateway(home, f"{output.read_text()}\npid {process.pid}")
            finally:
                process.kill()


async def start(home: Path, *arguments: str, added: Mapping[str, str] | None = None, port: int = 0) -> Ended:
    """Run `dragoman serve --background`, without warm processes."""
    return await run(home, "serve", "--background", "--port", str(port), "--spares", "0", *arguments, added=added)


def kill_all(home: Path) -> None:
    """Kill every gateway of a home."""
    for record in registry(home).running():
        with suppress(ProcessLookupError):  # one that was stopping has ended meanwhile
            os.kill(record.pid, signal.SIGKILL)
