"""The `dragoman` command. Loads a subcommand's module only when that subcommand is called, so `--help` stays fast."""

import difflib
import gc
import importlib
from collections.abc import Mapping
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem

from dragoman import __version__
from dragoman.cli.terminal import as_typed, wants_color


class CommandEntry(NamedTuple):
    """Where a subcommand is defined. The attribute in the module has the command's name.

    Attributes:
        module: The module in `dragoman.cli.commands`.
        summary: The line in `dragoman --help`.
    """

    module: str
    summary: str


COMMANDS: Mapping[str, CommandEntry] = {
    "serve": CommandEntry("serve", "Run the gateway."),
    "simulate": CommandEntry("serve", "Run the Messages API simulator alone."),
    "run": CommandEntry("run", "Run a client that uses the gateway."),
    "status": CommandEntry("process", "Show the state of a running gateway."),
    "runs": CommandEntry("runs", "List the runs of a gateway, newest first."),
    "top": CommandEntry("top", "Show the gateway's state and its newest runs as they change."),
    "tail": CommandEntry("runs", "Follow the events of a run."),
    "cancel": CommandEntry("runs", "Cancel a run."),
    "keys": CommandEntry("access", "Create and change the keys of clients."),
    "teams": CommandEntry("access", "Create and change teams."),
    "usage": CommandEntry("access", "Show what runs have used and cost."),
    "migrate": CommandEntry("migrate", "Move stored state to another place."),
    "stop": CommandEntry("process", "Stop a running gateway."),
    "restart": CommandEntry("process", "Restart a running gateway with its original flags."),
    "logs": CommandEntry("logs", "Show the log of a gateway."),
    "service": CommandEntry("service", "Run the gateway as a systemd user service."),
    "connect": CommandEntry("connect", "Show how to configure a client for the gateway."),
    "models": CommandEntry("config", "List the models and their aliases."),
    "config": CommandEntry("config", "Show the effective settings and the source of each."),
    "doctor": CommandEntry("claude_code", "Check that the installed Claude Code works with the gateway."),
    "login": CommandEntry("claude_code", "Sign in to Claude Code."),
    "logout": CommandEntry("claude_code", "Sign out of Claude Code."),
    "completion": CommandEntry("completion", "Print the completion script for a shell."),
}
"""Every subcommand, in the order of `--help`."""

ALIASES: Mapping[str, str] = {"start": "serve"}


def load_command(name: str) -> click.Command:
    """Import a subcommand. `name` is a key of `COMMANDS`."""
    gc.disable()  # importing makes much that stays, and nothing that a collection would find
    try:
        module = importlib.import_module(f"dragoman.cli.commands.{COMMANDS[name].module}")
    finally:
        gc.enable()
    command: click.Command = getattr(module, name)
    return command


class LazyCommands(click.Group):
    """A command group that imports a subcommand when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the same in every context
        """Return the names in the order of `--help`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Load a command by its name or alias. Return None for an unknown name."""
        name = ALIASES.get(cmd_name, cmd_name)
        return load_command(name) if name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command in the arguments. For an unknown name, suggest the nearest one."""
        if args and args[0] not in COMMANDS and args[0] not in ALIASES and not ctx.resilient_parsing:
            near = difflib.get_close_matches(args[0], [*COMMANDS, *ALIASES], n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. Its errors name other commands as they can be typed in this shell."""
        try:
            return super().invoke(ctx)
        except click.UsageError:
            raise  # names no other command
        except click.ClickException as error:
            click.echo(f"Error: {as_typed(error.format_message())}", err=True)
            ctx.exit(error.exit_code)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the completions of a word without loading any command."""
        items = [
            CompletionItem(name, help=entry.summary) for name, entry in COMMANDS.items() if name.startswith(incomplete)
        ]
        return items + (click.Command.shell_complete(self, ctx, incomplete) if incomplete.startswith("-") else [])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """Write the command list of `--help`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


@click.group(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.version_option(__version__, prog_name="dragoman")
@click.pass_context
def cli(context: click.Context) -> None:
    """An OpenAI-compatible gateway in front of Claude, based on the official Claude Code runtime."""
    if context.invoked_subcommand is None:
        from dragoman.cli.welcome import welcome  # noqa: PLC0415 - slow to import

        click.echo(welcome())


def main() -> None:
    """Run the command line."""
    cli(prog_name="dragoman", color=None if wants_color() else False)
