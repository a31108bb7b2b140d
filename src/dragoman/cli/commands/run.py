"""`dragoman run`: start a client that uses the gateway."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

import click

from dragoman.cli.commands.connect import find_target
from dragoman.cli.connect.client import KEY_VARIABLE
from dragoman.cli.connect.launch import launch_command, launch_environment
from dragoman.cli.gateway_http import GATEWAY_SETTINGS, GatewayHttp
from dragoman.cli.options import settings_from, settings_options
from dragoman.cli.select_instance import is_address_given, select_instance
from dragoman.cli.serving.background import stopping_at_end
from dragoman.cli.serving.invocation import Invocation
from dragoman.cli.terminal import as_typed

_SIGNALLED = 128
"""Plus the number of the signal that ended the client, as in shells."""
_FORWARDED = (signal.SIGTERM, signal.SIGHUP)


class _NotFound(click.ClickException):
    """There is no such program. Exit codes are those of shells."""

    exit_code = 127


class _NotExecutable(click.ClickException):
    """The program cannot be started."""

    exit_code = 126


@click.command("run")
@settings_options((*GATEWAY_SETTINGS, "simulate"))
@click.option("--model", help="Model for the client. [default: the gateway's default model]")
@click.argument("command", metavar="-- CLIENT [ARGUMENT]...", nargs=-1, required=True, type=click.UNPROCESSED)
def run(*, model: str | None, command: tuple[str, ...], **flags: object) -> None:
    """Run a client that uses the gateway, by environment variables with its address and key.

    If no gateway is running, one is started for the client, with the settings of the environment and the settings file,
    and stopped when the client ends. Exit code: that of the client.
    """
    with _gateway(flags) as chosen:
        settings = settings_from(chosen)
        target, warning = find_target(settings, chosen, model, None)
        if warning:
            raise click.ClickException(warning)
        known = settings.api_key.get_secret_value() if settings.api_key else GatewayHttp.select(settings, chosen).key
        key = os.environ.get(KEY_VARIABLE) or known or "none"
        code = _run(launch_command(command, target), launch_environment(command, target, key, os.environ))
    raise SystemExit(code)


@contextmanager
def _gateway(flags: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Yield the flags that select a running gateway. Start one if there is none, and stop it in the end.

    Raises:
        ClickException: The gateway did not start, or several run.
    """
    settings = settings_from(flags)
    if select_instance(settings, flags) or GatewayHttp.select(settings, flags).is_listening():
        yield flags
        return
    if not (settings.simulate or settings.anthropic_api_key or settings.signed_in or settings.upstreams) and (
        settings.backend != "api"  # it has further ways to sign in
    ):
        click.echo(
            as_typed(
                "There is no key for Claude: set ANTHROPIC_API_KEY. Without an account: `dragoman run --simulate -- "
                "CLIENT`."
            ),
            err=True,
        )
    port = () if is_address_given(flags) else ("--port=0",)
    with stopping_at_end(settings, Invocation.from_flags(flags, "--quiet", *port)) as record:
        yield {**flags, "host": record.host, "port": str(record.port)}


def _run(command: list[str], environment: Mapping[str, str]) -> int:
    """Run a program to its end, and return its exit code. Ctrl-C is for the program."""
    try:
        child = subprocess.Popen(command, env=environment)  # noqa: S603 - the user's own command
    except FileNotFoundError:
        raise _NotFound(f"There is no program `{command[0]}`.") from None
    except OSError as error:
        raise _NotExecutable(f"`{command[0]}` cannot be started: {error.strerror}.") from None

    def forward(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, lambda _number, _frame: None)  # the terminal sends it to both
    try:
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else _SIGNALLED - code
