"""`dragoman serve --background`: start a gateway that does not depend on the terminal."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from dragoman.cli.gateway_http import find_healthy
from dragoman.cli.instances import AlreadyRunning, InstanceRecord, InstanceRegistry, last_output
from dragoman.cli.serving.invocation import Invocation
from dragoman.cli.terminal import as_typed, wait_for
from dragoman.config.settings import Settings

_START_TIMEOUT = 60.0
"""Seconds until the gateway must respond."""
_TERMINATE_TIMEOUT = 10.0
"""Seconds that a gateway that did not start gets to end, before it is killed."""
_ERROR_PREFIX = "Error: "


def start(settings: Settings, invocation: Invocation, verbosity: str | None) -> None:
    """Start a gateway in the background, and return when it responds.

    Raises:
        ClickException: The gateway did not start. The text contains its last output.
    """
    result, output, _ = _start(settings, invocation)
    _report(result, output, verbosity)


@contextmanager
def stopping_at_end(settings: Settings, invocation: Invocation) -> Iterator[InstanceRecord]:
    """Start a gateway, and stop it when the context ends.

    Raises:
        ClickException: As for `start`.
    """
    record, _, child = _start(settings, invocation)
    try:
        yield record
    finally:
        end_process(child, record.grace + _TERMINATE_TIMEOUT)


def _start(settings: Settings, invocation: Invocation) -> tuple[InstanceRecord, Path, "subprocess.Popen[bytes]"]:
    """Start a gateway, and return its record, its output and its process when it responds."""
    registry = InstanceRegistry(settings.state_dir)
    if settings.port and (other := registry.at(settings.host, settings.port)):
        raise AlreadyRunning.at(other)
    output = registry.new_output()
    invocation = invocation.with_arguments(*_log_arguments(settings), f"--output={output}")
    with output.open("xb") as file:
        child = subprocess.Popen(  # noqa: S603 - this program
            invocation.command,
            env=invocation.environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )

    def poll() -> InstanceRecord | int | None:
        """Return the record once the gateway responds, or the exit code if it has ended."""
        code = child.poll()
        return find_healthy(registry, child.pid) if code is None else code

    try:
        result = wait_for(poll, "Waiting for the gateway to start", _START_TIMEOUT)
    except BaseException:
        end_process(child)
        raise
    if not isinstance(result, InstanceRecord):
        raise _start_error(child, output)
    return result, output, child


def _log_arguments(settings: Settings) -> list[str]:
    if settings.log_file:
        return []
    return [f"--log-file={settings.state_dir.expanduser().absolute() / f'gateway-{settings.port}.log'}"]


def end_process(child: "subprocess.Popen[bytes]", timeout: float = _TERMINATE_TIMEOUT) -> None:
    """Terminate a process. Kill it if it does not end in time."""
    child.terminate()
    try:
        child.wait(timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _start_error(child: "subprocess.Popen[bytes]", output: Path) -> click.ClickException:
    """Return the reason why a gateway did not start. End it if it is still running."""
    code = child.poll()
    if code is None:
        end_process(child)
    text = last_output(output)
    if code == AlreadyRunning.exit_code:
        return AlreadyRunning(text.removeprefix(_ERROR_PREFIX))
    if code and text.startswith(_ERROR_PREFIX):  # the gateway explained the error itself
        return click.ClickException(text.removeprefix(_ERROR_PREFIX))
    reason = f"It did not respond within {_START_TIMEOUT:g} seconds." if code is None else f"It ended with code {code}."
    return click.ClickException(f"The gateway did not start. {reason} Its output in {output}:\n{text}")


def _report(record: InstanceRecord, output: Path, verbosity: str | None) -> None:
    if verbosity == "quiet":
        return
    click.echo(as_typed(output.read_text(encoding="utf-8").rstrip()))
    if verbosity == "minimal":
        return
    click.echo(f"  Background       pid {record.pid}, log {record.log}\n")
    click.echo(as_typed("  Next: `dragoman status`, `dragoman logs --follow`, `dragoman restart`, `dragoman stop`."))
