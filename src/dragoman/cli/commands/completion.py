"""`dragoman completion`."""

import sys

import click
from click.shell_completion import get_completion_class

_PROGRAM, _VARIABLE = "dragoman", "_DRAGOMAN_COMPLETE"
_INSTALL = {
    "bash": "echo 'eval \"$(dragoman completion bash)\"' >> ~/.bashrc",
    "zsh": "echo 'eval \"$(dragoman completion zsh)\"' >> ~/.zshrc",
    "fish": "dragoman completion fish > ~/.config/fish/completions/dragoman.fish",
}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(_INSTALL)))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete our commands, flags and values.

    \b
    To have it in every new shell:
      bash  echo 'eval "$(dragoman completion bash)"' >> ~/.bashrc
      zsh   echo 'eval "$(dragoman completion zsh)"' >> ~/.zshrc
      fish  dragoman completion fish > ~/.config/fish/completions/dragoman.fish
    """  # noqa: D301 - a character to click: the lines after it stay lines
    known = get_completion_class(shell)
    assert known is not None  # noqa: S101 - click knows each of these
    click.echo(known(context.find_root().command, {}, _PROGRAM, _VARIABLE).source())
    if sys.stdout.isatty():
        click.echo(f"# To have this in every new shell: {_INSTALL[shell]}", err=True)
