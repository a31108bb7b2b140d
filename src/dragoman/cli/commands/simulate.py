"""`dragoman simulate`."""

import asyncio
import signal

import click

_EXAMPLE = """\
The Messages API simulator listens on {url}
No account, no network: any key will do. Try it:

  curl -s {url}/v1/messages -H 'x-api-key: any' -H 'anthropic-version: 2023-06-01' \\
    -H 'content-type: application/json' \\
    -d '{{"model": "claude-sonnet-5-5", "max_tokens": 100,
         "messages": [{{"role": "user", "content": "Reply with exactly: PONG"}}]}}'

Ctrl-C stops it."""


@click.command("simulate")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("-p", "--port", default=8788, show_default=True, type=click.IntRange(0, 65535), help="0: a free one.")
def command(host: str, port: int) -> None:
    """Run the Messages API simulator alone."""
    try:
        asyncio.run(_simulate(host, port))
    except OSError as error:
        reason = error.strerror or error
        raise click.ClickException(
            f"Cannot listen on {host} port {port}: {reason}. `dragoman simulate --port 0` takes a free one."
        ) from None


async def _simulate(host: str, port: int) -> None:
    from dragoman.simulator.server import Simulator  # noqa: PLC0415 - after the arguments are known to be good

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Of our own: a shell's background job is started with Ctrl-C ignored, and Python then leaves it so.
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Simulator(host, port) as simulator:
        click.echo(_EXAMPLE.format(url=simulator.url))
        await stop.wait()
