"""`serve --background`: a gateway that outlives the terminal it was started from."""

import subprocess
from pathlib import Path

import click

from dragoman.cli.gateway_http import answers
from dragoman.cli.instances import InstanceRecord, InstanceRegistry
from dragoman.cli.serving.foreground import RunsAlready, refuse
from dragoman.cli.serving.invocation import Invocation
from dragoman.cli.terminal import wait_for
from dragoman.config.settings import Settings

_PATIENCE = 60.0
_LAST_LINES = 20
_ERROR = "Error: "


def start(settings: Settings, invocation: Invocation, words: str | None) -> None:
    """Start a gateway behind, and return once it answers.

    Raises:
        ClickException: It did not start; the text holds what it said last.
    """
    registry = InstanceRegistry(settings.state_dir)
    if settings.port and (other := registry.at(settings.host, settings.port)):
        refuse(other)
    output = registry.output()
    invocation = invocation.having(*_log(settings), f"--output={output}")
    with output.open("xb") as file:
        child = subprocess.Popen(  # noqa: S603 - ourselves
            invocation.command,
            env=invocation.environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        record = wait_for(lambda: _look(child, registry), "Waiting for the gateway to answer", _PATIENCE)
    except BaseException:
        child.terminate()
        raise
    if not isinstance(record, InstanceRecord):
        raise _did_not_start(child, output)
    _tell(record, output, words)


def await_answer(registry: InstanceRegistry, pid: int, unlike: InstanceRecord | None = None) -> InstanceRecord | None:
    """The gateway that runs as this process and answers, if there is one by now.

    Args:
        registry: Where it would be.
        pid: The process.
        unlike: What it was before it was started again.
    """
    mine = (record for record in registry.running() if record.pid == pid and record != unlike)
    return next((record for record in mine if answers(record)), None)


def last_words(output: Path | str) -> str:
    """What a gateway printed last."""
    lines = Path(output).read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-_LAST_LINES:])


def _log(settings: Settings) -> list[str]:
    if settings.log_file:
        return []
    return [f"--log-file={settings.state_dir.expanduser().absolute() / f'gateway-{settings.port}.log'}"]


def _look(child: "subprocess.Popen[bytes]", registry: InstanceRegistry) -> InstanceRecord | int | None:
    """Its record, once it answers, or its exit code."""
    code = child.poll()
    return await_answer(registry, child.pid) if code is None else code


def _did_not_start(child: "subprocess.Popen[bytes]", output: Path) -> click.ClickException:
    code = child.poll()
    if code is None:
        child.terminate()
        child.wait()
    said = last_words(output)
    if code == RunsAlready.exit_code:
        return RunsAlready(_plain(said))
    if code and said.startswith(_ERROR):  # it says itself what is wrong
        return click.ClickException(_plain(said))
    reason = f"It did not answer within {_PATIENCE:g} seconds" if code is None else f"It ended with code {code}"
    return click.ClickException(f"The gateway did not start. {reason}; {output} has what it said:\n{said}")


def _plain(said: str) -> str:
    return said.removeprefix(_ERROR)


def _tell(record: InstanceRecord, output: Path, words: str | None) -> None:
    if words == "quiet":
        return
    click.echo(output.read_text(encoding="utf-8").rstrip())
    if words != "minimal":
        click.echo(f"  In background    pid {record.pid}; its log is {record.log}")
        click.echo(
            "\n  `dragoman status`, `dragoman logs --follow`, `dragoman restart` and `dragoman stop` go on from here."
        )
