"""`dragoman serve` and `dragoman simulate`: the commands that run a server."""

import asyncio
import signal

import click

from dragoman.cli.effective_config import effective_config, format_rows
from dragoman.cli.options import flags_by_setting, given_flags, serve_options, settings_from
from dragoman.cli.serving.invocation import Invocation
from dragoman.config.loading import BadSettings
from dragoman.config.secrets import resolve_secrets
from dragoman.wiring.checks import check_settings, make_state_dir

_SIMULATOR_HELP = """\
The Messages API simulator listens on {url}
It needs no account and no network. It accepts any API key. Try it:

  curl -s {url}/v1/messages -H 'x-api-key: any' -H 'anthropic-version: 2023-06-01' \\
    -H 'content-type: application/json' \\
    -d '{{"model": "claude-sonnet-5-5", "max_tokens": 100,
         "messages": [{{"role": "user", "content": "Reply with exactly: PONG"}}]}}'

Press Ctrl-C to stop it."""


@click.command("serve")
@click.option("--background", is_flag=True, help="Run in the background. Return when the gateway responds.")
@serve_options
@click.option("-V", "--verbose", "verbosity", flag_value="verbose", help="Also print the effective settings.")
@click.option("-m", "--minimal", "verbosity", flag_value="minimal", help="Print the address, and one line per request.")
@click.option("-q", "--quiet", "verbosity", flag_value="quiet", help="Print only errors.")
@click.option("--output", hidden=True, help="The file that receives the output of a gateway in the background.")
def serve(*, background: bool, verbosity: str | None, output: str | None, **flags: object) -> None:
    """Run the gateway.

    Each setting can be given as a flag, as the environment variable in brackets, in `.env`, or in a TOML file (see
    --config).

    Exit code 3: another gateway is already running on this port.
    """
    flags = flags_by_setting(flags)
    given = settings_from(flags)
    invocation = Invocation.from_flags(flags, *([f"--{verbosity}"] if verbosity else ()))
    if background and given.reload:
        raise click.ClickException("--reload works only in a terminal. Leave out --background.")
    try:
        settings = resolve_secrets(given)
        check_settings(settings)
        make_state_dir(settings)
        # Each mode imports a lot that the other ones do not need.
        if background:
            from dragoman.cli.serving.background import start  # noqa: PLC0415 - only this mode needs it

            start(settings, invocation, verbosity)
        elif settings.reload:
            from dragoman.cli.serving.foreground import serve_with_reload  # noqa: PLC0415 - only this mode needs it

            serve_with_reload(settings)
        else:
            from dragoman.cli.serving import foreground  # noqa: PLC0415 - only this mode needs it

            rows = effective_config(given_flags(flags)).rows if verbosity == "verbose" else ()
            foreground.serve(settings, invocation, verbosity, "\n".join(format_rows(rows)), output)
    except (BadSettings, OSError) as error:
        raise click.ClickException(str(error)) from None


@click.command("simulate")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "-p", "--port", default=8788, show_default=True, type=click.IntRange(0, 65535), help="Port. 0: any free port."
)
def simulate(host: str, port: int) -> None:
    """Run the Messages API simulator alone."""
    try:
        asyncio.run(_simulate(host, port))
    except OSError as error:
        reason = error.strerror or error
        raise click.ClickException(
            f"Cannot listen on {host} port {port}: {reason}. `dragoman simulate --port 0` uses any free port."
        ) from None


async def _simulate(host: str, port: int) -> None:
    from dragoman.simulator.server import Simulator  # noqa: PLC0415 - slow to import; the arguments are valid by now

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        # An own handler, because a shell starts background jobs with SIGINT ignored, and Python leaves it ignored.
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Simulator(host, port) as simulator:
        click.echo(_SIMULATOR_HELP.format(url=simulator.url))
        await stop.wait()
