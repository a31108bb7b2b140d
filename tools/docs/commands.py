"""Write `docs/commands.md`: the help texts of all commands, with tables of their flags."""

import inspect
import re
from collections.abc import Iterator

import click

from dragoman.cli.main import ALIASES, COMMANDS, cli, load_command
from dragoman.config.loading import flag
from dragoman.config.settings import Settings

_HEAD = """\
# Commands

This page contains what each command prints with `--help`. A flag that sets a setting can also be given as an
environment variable or in a file: see [settings.md](settings.md).
"""
_MAX_LISTED_SETTINGS = len(Settings.model_fields) // 2
"""A command with more settings than this takes all of them. They have a page of their own."""


def commands_page() -> str:
    """Return the text of the page."""
    group = click.Context(cli, info_name="dragoman", **cli.context_settings)
    parts = [part for name in COMMANDS for part in _command(name, load_command(name), group)]
    return "\n".join([_HEAD, *parts])


def _command(name: str, command: click.Command, parent: click.Context, level: str = "##") -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    yield f"{level} {context.command_path}\n"
    yield f"```text\n{context.get_usage().removeprefix('Usage: ')}\n```\n"
    if aliases := [alias for alias, target in ALIASES.items() if target == name]:
        yield f"Alias: `{'`, `'.join(f'dragoman {alias}' for alias in aliases)}`.\n"
    yield f"{_prose(command.help or '')}\n"
    yield from _options(command, context)
    if isinstance(command, click.Group):
        for child_name, child in command.commands.items():
            yield from _command(child_name, child, context, f"{level}#")


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    options = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
    settings = [option.name for option in options if option.name in Settings.model_fields]
    if settings:
        yield f"{_describe_settings(settings)} See [settings.md](settings.md).\n"
    records = [option.get_help_record(context) for option in options if option.name not in settings]
    rows = [f"| {_names(names)} | {_cell(help_text)} |" for names, help_text in filter(None, records)]
    yield from ("| flag | what it does |", "|---|---|", *rows, "") if rows else ()


def _describe_settings(names: list[str]) -> str:
    if len(names) > _MAX_LISTED_SETTINGS:
        return "Takes the flags of all settings."
    return f"Takes the flags of these settings: {', '.join(f'`{flag(name)}`' for name in names)}."


def _prose(help_text: str) -> str:
    """Return a help text with one line per paragraph. A paragraph that click does not wrap becomes a code block."""
    paragraphs = re.split(r"\n{2,}", inspect.cleandoc(help_text))
    return "\n\n".join(_block(part) if part.startswith("\b") else " ".join(part.split()) for part in paragraphs)


def _block(paragraph: str) -> str:
    return "```text\n" + paragraph.removeprefix("\b\n") + "\n```"


def _names(names: str) -> str:
    return ", ".join(f"`{_cell(name)}`" for name in re.split(", | / ", names))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
