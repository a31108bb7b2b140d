"""The `dragoman` command: finds its subcommands, and loads only the one that is asked for."""

import difflib
import importlib
from collections.abc import Mapping
from types import ModuleType

import click
from click.shell_completion import CompletionItem

from dragoman import __version__
from dragoman.cli.terminal import wanted

SUMMARIES: Mapping[str, str] = {
    "serve": "Run the gateway.",
    "simulate": "Run the Messages API simulator alone.",
    "status": "Ask a running gateway how it is.",
    "runs": "List the runs of a gateway, the newest first.",
    "tail": "Follow a run's events as they come.",
    "cancel": "Cancel a run.",
    "stop": "Stop a running gateway.",
    "restart": "Start a running gateway again, as it was started.",
    "logs": "Show the log of a gateway.",
    "service": "Have systemd run the gateway.",
    "connect": "Show what to tell a client so that it finds the gateway.",
    "models": "List the models and the names they go by.",
    "config": "Show the settings in force, and where each comes from.",
    "doctor": "Check that the Claude Code runtime does what the gateway builds on.",
    "login": "Sign in to Claude Code, by its own command.",
    "logout": "Sign out of Claude Code, by its own command.",
    "completion": "Print what makes a shell complete our commands, flags and values.",
}
"""What `--help` says of each, here so that it needs none of them loaded."""

ALIASES: Mapping[str, str] = {"start": "serve"}


def module_of(name: str) -> ModuleType:
    """The module with a subcommand."""
    return importlib.import_module(f"dragoman.cli.commands.{name}")


class Commands(click.Group):
    """Subcommands that are loaded when they are wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the same in every context
        """The names, as help lists them."""
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Load one."""
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in SUMMARIES:
            return None
        command: click.Command = module_of(name).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the one that the arguments name, and say which was perhaps meant by a wrong name."""
        if args and args[0] not in SUMMARIES and args[0] not in ALIASES and not ctx.resilient_parsing:
            near = difflib.get_close_matches(args[0], [*SUMMARIES, *ALIASES], n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """What a word may become, without loading any of them."""
        found = [CompletionItem(name, help=told) for name, told in SUMMARIES.items() if name.startswith(incomplete)]
        return found + (click.Command.shell_complete(self, ctx, incomplete) if incomplete.startswith("-") else [])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """Write the list for `--help`."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dragoman")
def cli() -> None:
    """An OpenAI-compatible gateway in front of Claude, on the official Claude Code runtime."""


def main() -> None:
    """Run the command that the arguments name."""
    cli(prog_name="dragoman", color=None if wanted() else False)
