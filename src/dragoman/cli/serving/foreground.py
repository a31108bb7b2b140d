"""`dragoman serve` in this process: bind the port, register, print the banner, serve, and restart on request."""

import asyncio
import ctypes
import errno
import gc
import logging
import os
import shlex
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
import uvloop

import dragoman
from dragoman import __version__
from dragoman.cli.effective_config import unknown_variable_warnings
from dragoman.cli.instances import AlreadyRunning, InstanceRecord, InstanceRegistry
from dragoman.cli.log_output.setup import configure, logs_payloads
from dragoman.cli.serving.invocation import Invocation
from dragoman.cli.serving.workers import Supervisor, WorkerLink, socket_directory
from dragoman.cli.terminal import as_typed, progress
from dragoman.config.loading import BadSettings, flag, variables
from dragoman.config.settings import Settings
from dragoman.config.sources import default_config_file
from dragoman.config.values import format_duration
from dragoman.core import log
from dragoman.core.value_object import replace, value_object
from dragoman.server.http_server import RESTART, Server, listen
from dragoman.server.peers import Peers
from dragoman.wiring.gateway import Gateway, build

if TYPE_CHECKING:
    import watchfiles

_RELOAD_TIMEOUT = 15
"""Seconds that a reloaded child gets to end."""
_GC_THRESHOLDS = (20_000, 20, 20)
"""Allocations per garbage collection of each generation. Requests create almost no cycles, and Python's default of 700
is less than a few concurrent requests allocate."""

_THREAD_SWITCH_SECONDS = 0.0005
"""How long the event loop waits for a thread that computes, such as one that encodes records. Python's default is ten
times as long, and was the latency of one request in a hundred."""

_PR_SET_DUMPABLE = 4
"""From Linux's `prctl.h`."""


def serve(
    settings: Settings, invocation: Invocation, verbosity: str | None, settings_table: str, output: str | None
) -> None:
    """Serve until a signal stops the gateway. On a restart signal, replace this process by a new gateway.

    Args:
        settings: The settings, checked and with their secrets resolved.
        invocation: The command line that started this process.
        verbosity: `verbose`, `minimal`, `quiet` or None.
        settings_table: Text to print after the banner.
        output: The file that receives the output of this process, if it runs in the background.
    """
    gc.disable()  # until the start is over: see `_serve`
    protect_memory()
    flush_log = configure(settings, quiet=verbosity == "quiet", minimal=verbosity == "minimal")
    for warning in unknown_variable_warnings():
        click.secho(f"Warning: {warning}", fg="yellow", err=True)
    signal.signal(RESTART, _ignore_signal)
    try:
        with _bound_and_registered(settings, invocation, output) as (sock, record):
            shown = _Shown(record.address, verbosity, settings_table)
            if settings.workers == 1:
                restart = uvloop.run(_serve(settings, sock, shown))
            else:
                gc.enable()
                restart = _serve_with_workers(settings, sock, shown, flush_log)
    finally:
        flush_log()
    if restart:
        same = invocation.with_arguments(f"--port={record.port}", *([f"--output={output}"] if output else ()))
        os.chdir(record.directory)
        # Secrets are passed on in the environment. They are never in a file or on a command line.
        os.execve(same.command[0], same.command, same.environment)  # noqa: S606 - this program


def serve_with_reload(settings: Settings) -> None:
    """Serve in a child process. Restart it when the code, `.env` or the settings file changes."""
    import watchfiles  # noqa: PLC0415 - for developers only

    paths = (Path(dragoman.__file__).parent, Path(".env"), settings.config or default_config_file())
    watched = [path for path in paths if path.exists()]
    logging.getLogger("watchfiles").setLevel(logging.ERROR)  # it would log Ctrl-C as a warning
    command = [sys.executable, "-m", "dragoman.cli", *sys.argv[1:], "--no-reload"]
    click.echo(f"Watching {', '.join(map(str, watched))}")
    watchfiles.run_process(
        *watched,
        target=shlex.join(command),
        target_type="command",
        sigint_timeout=_RELOAD_TIMEOUT,
        callback=_report_changes,
    )


def protect_memory() -> None:
    """Keep other processes of the same user from reading this process's memory and environment. Only on Linux.

    They hold keys. Root can read them anyway. Programs that this process starts are readable again.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


@value_object
class _Shown:
    """What a gateway prints when it has started.

    Attributes:
        address: Its address.
        verbosity: See `serve`.
        settings_table: See `serve`.
    """

    address: str
    verbosity: str | None
    settings_table: str


@value_object
class _Worker:
    """One of several processes.

    Attributes:
        link: Its tie to the supervisor.
        peers: The other workers.
    """

    link: WorkerLink
    peers: Peers


def _serve_with_workers(settings: Settings, sock: socket.socket, shown: _Shown, flush_log: Callable[[], None]) -> bool:
    """Serve with several processes until a signal. Return whether the gateway is to start again."""
    count = settings.workers
    with socket_directory(settings.state_dir) as directory:

        def work(link: WorkerLink) -> int:
            try:
                worker = _Worker(link, Peers(link.index, count, directory))
                uvloop.run(_serve(settings.for_worker(link.index), sock, shown, worker))
            except click.ClickException as error:
                error.show()
                return error.exit_code
            except (BadSettings, OSError) as error:
                click.ClickException(str(error)).show()
                return 1
            finally:
                flush_log()
            return 0

        code, restart = Supervisor(count, work, on_stop=sock.close).run()
    if code:
        raise SystemExit(code)
    return restart


async def _serve(settings: Settings, sock: socket.socket, shown: _Shown, worker: _Worker | None = None) -> bool:
    """Serve until a signal. Return whether the gateway is to start again."""
    async with AsyncExitStack() as stack:
        async with progress("Starting"):
            peers = worker.peers if worker else None
            gateway = await stack.enter_async_context(build(settings, checked=True, peers=peers))
        if worker is None or worker.link.is_first_start:
            _show(settings, gateway, shown)
        gc.collect()
        gc.freeze()  # about 100,000 objects of the start never die: keep them out of every later collection
        gc.set_threshold(*_GC_THRESHOLDS)
        gc.enable()
        sys.setswitchinterval(_THREAD_SWITCH_SECONDS)

        async def hand_over() -> None:
            if settings.shutdown_grace and shown.verbosity != "quiet" and (count := gateway.running()):
                with suppress(OSError):  # the terminal may be closed
                    click.echo(_stop_message(count, settings.shutdown_grace), err=True)
            await gateway.hand_over()

        stoppable = replace(gateway, hand_over=hand_over)
        server = Server(gateway.app, stoppable, settings.shutdown_grace, settings.shutdown_delay)
        facts = {"worker": worker.link.index} if worker else {}
        backend = gateway.backend.name
        log.info("server.start", address=shown.address, version=__version__, backend=backend, pid=os.getpid(), **facts)
        if worker:
            # Without its supervisor a worker would be started again by nothing, and stopped by nothing.
            asyncio.get_running_loop().add_reader(worker.link.parent, server.stop)
            stack.callback(asyncio.get_running_loop().remove_reader, worker.link.parent)
            worker.link.report_ready()
        await server.serve([sock])
        log.info("server.stop", again=server.again or None)
        return server.again


def _show(settings: Settings, gateway: Gateway, shown: _Shown) -> None:
    if shown.verbosity == "minimal":
        click.echo(shown.address)
    elif shown.verbosity != "quiet":
        click.echo(as_typed(_banner(settings, gateway, shown.address)))
    if shown.settings_table:
        click.echo(shown.settings_table)


def _stop_message(count: int, grace: float) -> str:
    runs = "1 run has" if count == 1 else f"{count} runs have"
    hurry = "press Ctrl-C again" if sys.stdin.isatty() else "send the signal again"
    return f"Stopping: {runs} {format_duration(grace)} to finish. To end them at once, {hurry}."


def _ignore_signal(*_signal: object) -> None:
    """Ignore a restart signal before and after serving. By default it would end the process."""


def _report_changes(changes: "set[tuple[watchfiles.Change, str]]") -> None:
    names = sorted({Path(path).name for _, path in changes})
    click.echo(f"Changed: {', '.join(names)}. Restarting.")


@contextmanager
def _bound_and_registered(
    settings: Settings, invocation: Invocation, output: str | None
) -> Iterator[tuple[socket.socket, InstanceRecord]]:
    """Bind the port and list this gateway in the registry until the context ends."""
    registry = InstanceRegistry(settings.state_dir)
    with ExitStack() as stack:
        with registry.startup_lock():
            sock = stack.enter_context(_bind(settings, registry))
            record = _record(settings, invocation, sock, output)
            stack.enter_context(registry.register(record))
        yield sock, record


def _record(settings: Settings, invocation: Invocation, sock: socket.socket, output: str | None) -> InstanceRecord:
    key_file = settings.admin_key_file or (None if settings.admin_key else settings.api_key_file)
    return InstanceRecord(
        host=settings.host,
        port=sock.getsockname()[1],
        grace=settings.shutdown_grace,
        arguments=invocation.arguments,
        log=str(settings.log_file.expanduser().absolute()) if settings.log_file else None,
        output=output,
        key_file=str(key_file.expanduser().absolute()) if key_file else None,
    )


def _bind(settings: Settings, registry: InstanceRegistry) -> socket.socket:
    try:
        return listen(settings.host, settings.port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and (other := registry.at(settings.host, settings.port)):
            raise AlreadyRunning.at(other) from None
        raise click.ClickException(_explain_bind_error(settings, error)) from None


def _explain_bind_error(settings: Settings, error: OSError) -> str:
    where = f"{settings.host} port {settings.port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where} is in use by another program. `dragoman status` shows whether it is a gateway; "
            f"`dragoman serve --port {settings.port + 1}` uses another port."
        )
    return f"Cannot listen on {where}: {error.strerror or error}. Choose another address with --host and --port."


def _banner(settings: Settings, gateway: Gateway, address: str) -> str:
    """Return the start-up message: addresses, backend and account. If the gateway is not ready, also the reason."""
    reason = None if gateway.simulator else gateway.backend.ready()
    lines = [
        f"Dragoman {__version__}",
        f"  OpenAI base URL  {address}/v1",
        "  Endpoints        /v1/chat/completions  /v1/responses  /v1/completions  /v1/embeddings",
        "                   /v1/messages  /v1/models  /health  /metrics",
        f"  Dashboard        {address}/dashboard",
        f"  Documentation    {address}/docs",
        f"  Backend          {gateway.backend.name}",
        f"  Claude           {_describe_account(settings, gateway)}",
        f"  Clients          {_describe_clients(settings, has_keys=gateway.has_keys)}",
    ]
    if settings.workers > 1:
        lines.append(f"  Workers          {settings.workers} processes")
    if logs_payloads(settings):
        lines.append("  Log              contains prompts and responses (--debug, --trace or --trace-file), no secrets")
    if reason:
        lines += ["", f"  {reason}"]
    if reason and not settings.anthropic_api_key and not settings.upstreams:
        lines.append("  To try the gateway without an account, start it with `dragoman serve --simulate`.")
    return "\n".join(lines)


def _describe_account(settings: Settings, gateway: Gateway) -> str:
    if gateway.simulator:
        return f"simulated at {gateway.simulator}: no account, no network"
    if settings.upstreams:
        fallback = ", with fallback to the next" if settings.fallback else ""
        return f"{len(settings.upstreams)} upstreams: {', '.join(one.name for one in settings.upstreams)}{fallback}"
    if settings.cloud:
        return f"on {settings.cloud.title()}, with this machine's credentials"
    if settings.signed_in:
        return "your own Claude Code sign-in, for you alone"
    if settings.anthropic_api_key:
        return "API key from ANTHROPIC_API_KEY"
    return "no API key and no sign-in"


def _describe_clients(settings: Settings, *, has_keys: bool) -> str:
    if has_keys:
        return "must send a client key: `dragoman keys list`"
    if settings.admin_key and not settings.keys and not settings.api_key:
        return "must send a client key, and there is none: `dragoman keys create NAME`"
    if settings.keys:
        names = ", ".join(key.name for key in settings.keys)
        gateway_key = ", or the gateway's API key" if settings.api_key else ""
        return f"must send a client key: {names}{gateway_key}"
    if settings.api_key:
        source = flag("api_key_file") if settings.api_key_file else f"{flag('api_key')} or {variables('api_key')[0]}"
        return f"must send the API key ({source})"
    return "need no key; only this machine can connect"
