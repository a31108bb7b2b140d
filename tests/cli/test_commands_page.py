"""`docs/commands.md` is generated from the commands."""

from pathlib import Path

import click

from dragoman.cli.main import COMMANDS, cli
from dragoman.config.settings import Settings
from tools.docs.commands import commands_page

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
SETTINGS = Settings.model_fields


def test_the_page_is_current() -> None:
    """The page matches the commands. If not, run `make docs`."""
    assert PAGE.read_text(encoding="utf-8") == commands_page()


def test_it_names_every_command_and_flag() -> None:
    """The page contains every command and flag. The flags of settings have a page of their own."""
    page = commands_page()
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        section = page.partition(f"## dragoman {name}\n")[2].partition("\n## ")[0]
        own = [part for part in command.params if isinstance(part, click.Option) and part.name not in SETTINGS]
        assert [option.opts for option in own if option.opts[-1] not in section and not option.hidden] == []
