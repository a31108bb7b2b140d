"""`serve --reload`: a parent that watches and a child that serves.

Serving in this process: the port, the record by which others find it, the gateway, and at the end perhaps anew.
"""

import errno
import gc
import logging
import os
import shlex
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

import click
import structlog
import uvloop
import watchfiles

import dragoman
from dragoman import __version__
from dragoman.cli.effective_config import unknown_warnings
from dragoman.cli.instances import InstanceRecord, InstanceRegistry
from dragoman.cli.logs.setup import configure
from dragoman.cli.serving.banner import banner
from dragoman.cli.serving.invocation import Invocation
from dragoman.cli.terminal import progress
from dragoman.config.settings import Settings
from dragoman.config.sources import default_config_file
from dragoman.server.uvicorn_server import RESTART, Server, listen
from dragoman.wiring.gateway import build

_PATIENCE = 15


def run_reloading(settings: Settings) -> None:
    """Serve in a child, and start it again whenever the code, `.env` or the settings file changes."""
    paths = (Path(dragoman.__file__).parent, Path(".env"), settings.config or default_config_file())
    watched = [path for path in paths if path.exists()]
    logging.getLogger("watchfiles").setLevel(logging.ERROR)  # it would tell of Ctrl-C
    arguments = [sys.executable, "-m", "dragoman.cli", *sys.argv[1:], "--no-reload"]
    click.echo(f"Watching {', '.join(map(str, watched))}")
    watchfiles.run_process(
        *watched, target=shlex.join(arguments), target_type="command", sigint_timeout=_PATIENCE, callback=_tell
    )


def _tell(changes: set[tuple[watchfiles.Change, str]]) -> None:
    names = sorted({Path(path).name for _, path in changes})
    click.echo(f"Changed: {', '.join(names)}. Starting again.")


log = structlog.get_logger("dragoman.server")

_COLLECT = (20_000, 20, 20)
"""Objects made until the youngest are looked through, and so on. A request leaves next to nothing that needs it, and
Python's own 700 are less than what a few requests at once hold."""


class RunsAlready(click.ClickException):
    """A gateway has the port."""

    exit_code = 3


def serve(settings: Settings, invocation: Invocation, words: str | None, shown: str, output: str | None) -> None:
    """Serve until a signal says to stop; where it says to start again, be replaced by a new process of the same id.

    Args:
        settings: What the gateway is told.
        invocation: How it was started.
        words: How much to print.
        shown: What else to print.
        output: The file that this process prints into, if it is in the background.
    """
    configure(settings, quiet=words == "quiet", minimal=words == "minimal")
    for warning in unknown_warnings():
        click.secho(f"Warning: {warning}", fg="yellow", err=True)
    signal.signal(RESTART, _not_yet)
    with _listening(settings, invocation, output) as (sock, record):
        again = uvloop.run(_serve(settings, sock, record.address, words, shown))
    if again:
        kept = invocation.having(f"--port={record.port}", *([f"--output={output}"] if output else ()))
        os.chdir(record.directory)
        # Secrets go from hand to hand, in the environment: neither a file nor a command line ever has them.
        os.execve(kept.command[0], kept.command, kept.environment)  # noqa: S606 - ourselves


async def _serve(settings: Settings, sock: socket.socket, address: str, words: str | None, shown: str) -> bool:
    async with AsyncExitStack() as stack:
        async with progress("Starting"):
            gateway = await stack.enter_async_context(build(settings))
        if words == "minimal":
            click.echo(address)
        elif words != "quiet":
            click.echo(banner(settings, gateway, address))
        if shown:
            click.echo(shown)
        gc.collect()
        gc.freeze()  # some 100,000 objects of the start live for ever: no collection need look at them again
        gc.set_threshold(*_COLLECT)
        server = Server(gateway.app, gateway.drain, settings.shutdown_grace)
        log.info("server.start", address=address, version=__version__, backend=gateway.backend.name, pid=os.getpid())
        await server.serve([sock])
        log.info("server.stop", again=server.again or None)
        return server.again


def _not_yet(*_signal: object) -> None:
    """Unheard where nothing is served yet or any more; by itself the signal would end the process."""


@contextmanager
def _listening(
    settings: Settings, invocation: Invocation, output: str | None
) -> Iterator[tuple[socket.socket, InstanceRecord]]:
    """Have the port, and be found by others, until the end."""
    registry = InstanceRegistry(settings.state_dir)
    with ExitStack() as stack:
        with registry.starting():
            sock = stack.enter_context(_listen(settings, registry))
            record = _record(settings, invocation, sock, output)
            stack.enter_context(registry.entered(record))
        yield sock, record


def _record(settings: Settings, invocation: Invocation, sock: socket.socket, output: str | None) -> InstanceRecord:
    return InstanceRecord(
        host=settings.host,
        port=sock.getsockname()[1],
        grace=settings.shutdown_grace,
        arguments=invocation.arguments,
        log=str(settings.log_file.expanduser().absolute()) if settings.log_file else None,
        output=output,
        key_file=str(settings.api_key_file.expanduser().absolute()) if settings.api_key_file else None,
    )


def _listen(settings: Settings, registry: InstanceRegistry) -> socket.socket:
    try:
        return listen(settings.host, settings.port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and (other := registry.at(settings.host, settings.port)):
            refuse(other)
        raise click.ClickException(_no_port(settings, error)) from None


def refuse(other: InstanceRecord) -> NoReturn:
    """Say which gateway has the port, and end.

    Raises:
        RunsAlready: Always.
    """
    raise RunsAlready(
        f"A gateway runs already at {other.address} (pid {other.pid}). `dragoman stop` ends it, `dragoman restart` "
        f"starts it again, `dragoman serve --port {other.port + 1}` starts another."
    )


def _no_port(settings: Settings, error: OSError) -> str:
    where = f"{settings.host} port {settings.port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where} is in use. `dragoman status` tells whether a gateway runs there; "
            f"`dragoman serve --port {settings.port + 1}` takes another port."
        )
    return f"Cannot listen on {where}: {error.strerror or error}. Choose others with --host and --port."
