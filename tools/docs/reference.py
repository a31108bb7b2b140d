"""The pages of `docs/` that are written from the code, and `.env.example`: `make docs`."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from dragoman.cli.options import default_of
from dragoman.config.loading import flag, setting_info, variables
from dragoman.config.settings import Settings
from tools.docs.chat_fields import chat_fields_page
from tools.docs.clients import clients_page
from tools.docs.commands import commands_page

_HEAD = """\
# Settings

Every setting can be given in several places. What stands further up wins:

1. the flag on the command line (`dragoman serve --port 9000`),
2. its variable (`DRAGOMAN_PORT=9000`),
3. its fallback variable, where the table names a second one (`PORT=9000`),
4. the same variables in a `.env` file in the working directory,
5. a TOML file: `--config FILE`, `DRAGOMAN_CONFIG`, or `dragoman.toml` in the platform's configuration directory,
6. the default.

Lists are written `a,b` in variables; as flags, `--allow-host` and its like can be repeated. Switches take `true` and
`false` in variables, and have a `--no-…` flag. Sizes take units (`64MiB`). An empty variable counts as not set.

In TOML the names are those of the table, and the models may have a table of their own:

```toml
port = 9000
max_concurrency = 4

[models]
default = "sonnet"
list = ["sonnet", "haiku"]
aliases = { fast = "haiku", "gpt-4o" = "sonnet" }
```

Flags of `dragoman serve` that stand for settings under older names: `--process-timeout-ms` (`run_timeout`, in
milliseconds), `--debug` and `--trace` (`log_level`), `--allowed-working-directory-prefixes` (`allow_dir`) and
`--allowed-permission-modes` (`allow_permission_mode`).
"""

_ENV_HEAD = """\
# Settings of the gateway; docs/settings.md explains each. Copy this to .env and take the # away where you change one.
"""


def settings_page() -> str:
    """The text of `docs/settings.md`."""
    return "\n".join([_HEAD, *(line for group, names in _groups() for line in _table(group, names))])


def env_example() -> str:
    """The text of `.env.example`."""
    lines = [_ENV_HEAD]
    for group, names in _groups():
        lines.append(f"# --- {group} ---\n")
        lines += [_variable(name) for name in names]
    return "\n".join(lines)


def write(root: Path) -> None:
    """Write the files under a directory."""
    (root / "docs").mkdir(exist_ok=True)
    (root / "docs" / "settings.md").write_text(settings_page(), encoding="utf-8")
    (root / "docs" / "commands.md").write_text(commands_page(), encoding="utf-8")
    (root / "docs" / "clients.md").write_text(clients_page(), encoding="utf-8")
    (root / "docs" / "chat-fields.md").write_text(chat_fields_page(), encoding="utf-8")
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
        named = ", ".join(f"`{variable}`" for variable in variables(name))
        yield f"| `{name}` | {flags} | {named} | {_code(name)} | {Settings.model_fields[name].description} |"
    yield ""


def _code(name: str) -> str:
    default = default_of(name)
    return default if setting_info(name).shown or default in {"none", "on", "off"} else f"`{default}`"


def _variable(name: str) -> str:
    default = default_of(name)
    value = {"none": "", "on": "true", "off": "false"}.get(default, default)
    known = setting_info(name)
    comment = f"# {Settings.model_fields[name].description}"
    if known.shown and " " in known.shown:
        comment, value = f"{comment} Default: {known.shown}.", ""
    return f"{comment}\n#{variables(name)[0]}={value}\n"


if __name__ == "__main__":
    write(Path.cwd())
