"""The text of `docs/commands.md`: what `--help` says of each command, as tables."""

import inspect
import re
from collections.abc import Iterator

import click

from dragoman.cli.main import ALIASES, SUMMARIES, cli
from dragoman.config.loading import flag
from dragoman.config.settings import Settings

_HEAD = """\
# Commands

The same is told in the terminal by `--help`, of all and of each. A flag that stands for a setting can also be given as
its variable or in a file: see [settings.md](settings.md).
"""
_MANY = len(Settings.model_fields) // 2
"""A command that takes more of the settings than this takes all of them, and their own page tells of them."""


def commands_page() -> str:
    """The page."""
    group = click.Context(cli, info_name="dragoman", **cli.context_settings)
    found = ((name, cli.get_command(group, name)) for name in SUMMARIES)
    parts = [part for name, command in found if command for part in _command(name, command, group)]
    return "\n".join([_HEAD, *parts])


def _command(name: str, command: click.Command, parent: click.Context, level: str = "##") -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    yield f"{level} {context.command_path}\n"
    yield f"```text\n{context.get_usage().removeprefix('Usage: ')}\n```\n"
    if others := [alias for alias, meant in ALIASES.items() if meant == name]:
        yield f"Also `{'`, `'.join(f'dragoman {alias}' for alias in others)}`.\n"
    yield f"{_prose(command.help or '')}\n"
    yield from _options(command, context)
    if isinstance(command, click.Group):
        for below, inner in command.commands.items():
            yield from _command(below, inner, context, f"{level}#")


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    options = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
    settings = [option.name for option in options if option.name in Settings.model_fields]
    if settings:
        yield f"{_of_settings(settings)} See [settings.md](settings.md).\n"
    records = [option.get_help_record(context) for option in options if option.name not in settings]
    rows = [f"| {_names(names)} | {_cell(told)} |" for names, told in filter(None, records)]
    yield from ("| flag | does |", "|---|---|", *rows, "") if rows else ()


def _of_settings(names: list[str]) -> str:
    if len(names) > _MANY:
        return "It takes the flags of all settings."
    return f"It takes the flags of some settings: {', '.join(f'`{flag(name)}`' for name in names)}."


def _prose(help_text: str) -> str:
    """Paragraphs, each on a line of its own; click's mark for text that keeps its lines makes a block of them."""
    paragraphs = re.split(r"\n{2,}", inspect.cleandoc(help_text))
    return "\n\n".join(_block(part) if part.startswith("\b") else " ".join(part.split()) for part in paragraphs)


def _block(paragraph: str) -> str:
    return "```text\n" + paragraph.removeprefix("\b\n") + "\n```"


def _names(names: str) -> str:
    return ", ".join(f"`{_cell(name)}`" for name in re.split(", | / ", names))


def _cell(words: str) -> str:
    return " ".join(words.split()).replace("|", "\\|")
