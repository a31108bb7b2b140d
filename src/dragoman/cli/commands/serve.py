"""`dragoman serve`."""

import click

from dragoman.cli.effective_config import effective_config, table
from dragoman.cli.options import plain, serve_options, settings_from, told
from dragoman.cli.serving.invocation import Invocation
from dragoman.config.loading import BadSettings
from dragoman.config.secrets import resolve_secrets
from dragoman.config.settings import Settings
from dragoman.wiring.checks import check_exposure, make_state_dir


@click.command("serve")
@click.option("--background", is_flag=True, help="Leave it running behind, and return once it answers.")
@serve_options
@click.option("-V", "--verbose", "words", flag_value="verbose", help="Also print the settings in force.")
@click.option("-m", "--minimal", "words", flag_value="minimal", help="Print the address, and a line a request.")
@click.option("-q", "--quiet", "words", flag_value="quiet", help="Print nothing but errors.")
@click.option("--output", hidden=True, help="Where a gateway in the background prints.")
def command(
    *,
    background: bool,
    words: str | None,
    output: str | None,
    **flags: object,
) -> None:
    """Run the gateway.

    Each flag can also be given as the variable that stands behind it, in `.env`, or in a TOML file (--config).

    Exit code 3: one runs there already.
    """
    flags = plain(flags)
    given = settings_from(flags)
    invocation = Invocation.of(flags, *([f"--{words}"] if words else ()))
    try:
        settings = resolve_secrets(given)
        check_exposure(settings)
        make_state_dir(settings)
        if background:
            _behind(settings, invocation, words)
        elif settings.reload:
            from dragoman.cli.serving.foreground import run_reloading  # noqa: PLC0415 - for development

            run_reloading(settings)
        else:
            from dragoman.cli.serving.foreground import serve  # noqa: PLC0415 - all that serves, where something is to serve

            shown = "\n".join(table(effective_config(told(flags)).rows)) if words == "verbose" else ""
            serve(settings, invocation, words, shown, output)
    except BadSettings as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(str(error)) from None


def _behind(settings: Settings, invocation: Invocation, words: str | None) -> None:
    from dragoman.cli.serving.background import start  # noqa: PLC0415 - seldom wanted

    if settings.reload:
        raise click.ClickException("--reload is for development, at a terminal: leave out --background.")
    start(settings, invocation, words)
