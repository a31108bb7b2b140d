"""Write `docs/settings.md`, `.env.example` and all other generated pages. This is what `make docs` runs."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from dragoman.cli.options import format_default
from dragoman.config.loading import flag, setting_info, variables
from dragoman.config.settings import Settings
from tools.docs.chat_fields import chat_fields_page
from tools.docs.clients import clients_page
from tools.docs.commands import commands_page
from tools.docs.log_events import log_events_page
from tools.docs.plots import write_plots

_HEAD = """\
# Settings

Each setting can be given in several ways. The first one in this list wins:

1. the flag on the command line (`dragoman serve --port 9000`),
2. its environment variable (`DRAGOMAN_PORT=9000`),
3. its fallback variable, if the table lists a second one (`PORT=9000`),
4. the same variables in a `.env` file in the working directory,
5. a TOML file: `--config FILE`, `DRAGOMAN_CONFIG`, or `dragoman.toml` in the platform's configuration directory,
6. the default.

In a variable, a list is written `a,b`. The flag of a list can be repeated (`--allow-host a --allow-host b`). A switch
is `true` or `false` in a variable, and has a `--no-…` flag. A size can have a unit (`64MiB`). A duration is a
number of seconds, or has units (`90s`, `10m`, `1h30m`, `30d`). An empty variable counts as not set.

In TOML, use the names in the first column. The settings of models can be in a table of their own:

```toml
port = 9000
max_concurrency = 4

[models]
default = "sonnet"
list = ["sonnet", "haiku"]
aliases = { fast = "haiku", "gpt-4o" = "sonnet" }
```

`dragoman serve` also accepts some flags under other names: `--process-timeout-ms` (`run_timeout`, in
milliseconds), `--debug` and `--trace` (`log_level`), `--allowed-working-directory-prefixes` (`allow_dir`) and
`--allowed-permission-modes` (`allow_permission_mode`).
"""

_ENV_HEAD = """\
# Settings of the gateway, explained in docs/settings.md. Copy this file to .env and remove the # from what you change.
"""


def settings_page() -> str:
    """Return the text of `docs/settings.md`."""
    return "\n".join([_HEAD, *(line for group, names in _groups() for line in _table(group, names))])


def env_example() -> str:
    """Return the text of `.env.example`."""
    lines = [_ENV_HEAD]
    for group, names in _groups():
        lines.append(f"# --- {group} ---\n")
        lines += [_variable(name) for name in names]
    return "\n".join(lines)


def write(root: Path) -> None:
    """Write all generated files of the repository at `root`."""
    (root / "docs").mkdir(exist_ok=True)
    (root / "docs" / "settings.md").write_text(settings_page(), encoding="utf-8")
    (root / "docs" / "commands.md").write_text(commands_page(), encoding="utf-8")
    (root / "docs" / "clients.md").write_text(clients_page(), encoding="utf-8")
    (root / "docs" / "chat-fields.md").write_text(chat_fields_page(), encoding="utf-8")
    (root / "docs" / "log-events.md").write_text(log_events_page(), encoding="utf-8")
    (root / ".env.example").write_text(env_example(), encoding="utf-8")


def _groups() -> Iterator[tuple[str, list[str]]]:
    for group, names in groupby(Settings.model_fields, lambda name: setting_info(name).group):
        yield group, list(names)


def _table(group: str, names: Iterable[str]) -> Iterator[str]:
    yield f"## {group}\n"
    yield "| setting | flag | variable | default | what it does |"
    yield "|---|---|---|---|---|"
    for name in names:
        flags = ", ".join(f"`{part}`" for part in (flag(name), setting_info(name).short) if part) or "none"
        names = ", ".join(f"`{variable}`" for variable in variables(name))
        yield f"| `{name}` | {flags} | {names} | {_code(name)} | {Settings.model_fields[name].description} |"
    yield ""


def _code(name: str) -> str:
    default = format_default(name)
    return default if setting_info(name).shown or default in {"none", "on", "off"} else f"`{default}`"


def _variable(name: str) -> str:
    default = format_default(name)
    value = {"none": "", "on": "true", "off": "false"}.get(default, default)
    info = setting_info(name)
    comment = f"# {Settings.model_fields[name].description}"
    if info.shown and " " in info.shown:
        comment, value = f"{comment} Default: {info.shown}.", ""
    return f"{comment}\n#{variables(name)[0]}={value}\n"


if __name__ == "__main__":
    write(Path.cwd())
    write_plots(Path.cwd() / "docs")
