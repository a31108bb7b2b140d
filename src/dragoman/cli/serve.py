"""`dragoman serve`."""

import errno
import gc
import socket

import click
import uvloop

from dragoman.bootstrap import build, check_exposure
from dragoman.cli.banner import banner, effective
from dragoman.cli.logs import configure
from dragoman.cli.options import settings_from, settings_options
from dragoman.server.serving import Server, listen
from dragoman.settings import BadSettings, Settings

_PATIENT = "Seconds that a run may take, in milliseconds: an older name of --run-timeout."


@click.command("serve")
@settings_options()
@click.option("--process-timeout-ms", type=click.FloatRange(min=1), metavar="MS", help=_PATIENT)
@click.option("--debug", "shorthand", flag_value="debug", help="The same as --log-level debug.")
@click.option("--trace", "shorthand", flag_value="trace", help="The same as --log-level trace.")
@click.option("-V", "--verbose", "words", flag_value="verbose", help="Also print the settings in force.")
@click.option("-m", "--minimal", "words", flag_value="minimal", help="Print the address alone.")
@click.option("-q", "--quiet", "words", flag_value="quiet", help="Print nothing but errors.")
def command(process_timeout_ms: float | None, shorthand: str | None, words: str | None, **flags: object) -> None:
    """Run the gateway.

    Each flag can also be given as the variable that stands behind it, in `.env`, or in a TOML file (--config).
    """
    if process_timeout_ms and flags["run_timeout"] is None:
        flags["run_timeout"] = process_timeout_ms / 1000
    flags["log_level"] = flags["log_level"] or shorthand
    settings = settings_from(flags)
    if settings.reload:
        from dragoman.cli.reload import run_reloading  # noqa: PLC0415 - for development

        run_reloading(settings)
        return
    try:
        check_exposure(settings)
        configure(settings, quiet=words == "quiet")
        with _listen(settings) as sock:
            uvloop.run(_serve(settings, sock, words))
    except BadSettings as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(str(error)) from None


async def _serve(settings: Settings, sock: socket.socket, words: str | None) -> None:
    async with build(settings) as gateway:
        address = _address(sock)
        if words == "minimal":
            click.echo(address)
        elif words != "quiet":
            click.echo(banner(settings, gateway, address))
        if words == "verbose":
            click.echo(effective(settings))
        gc.collect()
        gc.freeze()  # some 100,000 objects of the start live for ever: no collection need look at them again
        await Server(gateway.app, gateway.drain, settings.shutdown_grace).serve([sock])


def _listen(settings: Settings) -> socket.socket:
    try:
        return listen(settings.host, settings.port)
    except OSError as error:
        raise click.ClickException(_no_port(settings, error)) from None


def _no_port(settings: Settings, error: OSError) -> str:
    where = f"{settings.host} port {settings.port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where} is in use. `dragoman status` tells whether a gateway runs there; "
            f"`dragoman serve --port {settings.port + 1}` takes another port."
        )
    return f"Cannot listen on {where}: {error.strerror or error}. Choose others with --host and --port."


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
