"""`dragoman completion`. A module of its own because shells run it at each start: it imports nothing else."""

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
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for a shell: it completes commands, flags and values.

    \b
    To enable it in every new shell:
      bash  echo 'eval "$(dragoman completion bash)"' >> ~/.bashrc
      zsh   echo 'eval "$(dragoman completion zsh)"' >> ~/.zshrc
      fish  dragoman completion fish > ~/.config/fish/completions/dragoman.fish
    """  # noqa: D301 - tells click to keep the line breaks
    script = get_completion_class(shell)
    assert script is not None  # noqa: S101 - click supports each of these shells
    click.echo(script(context.find_root().command, {}, _PROGRAM, _VARIABLE).source())
    if sys.stdout.isatty():
        click.echo(f"# To enable this in every new shell: {_INSTALL[shell]}", err=True)
