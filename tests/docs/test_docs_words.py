"""Everything that the docs name exists: pages, commands, flags, settings, error codes and prompt lines."""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pages import PAGE_IDS, PAGES, ROOT, read, spans, typed

from dragoman.cli.connect import CLIENTS
from dragoman.cli.main import ALIASES, COMMANDS, cli
from dragoman.config.loading import variables
from dragoman.config.settings import Settings
from dragoman.core.errors import GatewayError
from dragoman.simulator import faults

LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
VARIABLE = re.compile(r"\bDRAGOMAN_[A-Z_]+\b")
ASSIGNED = re.compile(r"^(?:[A-Z_]+=(?:'[^']*'|\S+) )+")
MAKE = re.compile(r"^make (?P<target>[a-z]+)(?P<rest>.*)$")
ROW = re.compile(r"^\| (?P<first>`[^|]+`) \|", re.MULTILINE)
PROGRAMS = {
    "clients": "tests/clients/run_clients.py",
    "proof": "tests/proof/proof.py",
    "release": "tools/release.py",
}
"""The programs of targets that have flags of their own."""
FOREIGN_FLAGS = {"--python", "--no-buffer", "-H", "--log", "--help", "-h"}
"""Flags of curl and of other gateways, and click's own."""

every_page = pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)


def subcommand(name: str) -> click.Command | None:
    """Return a subcommand by its name or alias."""
    return cli.get_command(click.Context(cli), name)


def parse(words: list[str]) -> None:
    """Parse a command line of `dragoman` without running it."""
    name, *arguments = words
    command = subcommand(name)
    assert command is not None, f"there is no `dragoman {name}`"
    # Parse within the group, because a command remembers the help flags of its first use.
    group = click.Context(cli, **cli.context_settings)
    if isinstance(command, click.Group) and arguments:
        group = click.Context(command, info_name=name, parent=group, **cli.context_settings)
        name, *arguments = arguments
        command = command.commands[name]
    command.make_context(name, arguments, parent=group).close()


def codes() -> set[str]:
    """Return every error code that a client can receive."""
    return set(default_codes(GatewayError)) | set(given_codes())


def default_codes(kind: type[GatewayError]) -> Iterator[str]:
    """Yield the default codes of an error class and its subclasses. Subclasses in tests do not count."""
    if kind.default_code:
        yield kind.default_code
    for below in kind.__subclasses__():
        if below.__module__.startswith("dragoman."):
            yield from default_codes(below)


def given_codes() -> Iterator[str]:
    """Yield the codes in calls: as a keyword, as a positional argument, or in a variable named `code`."""
    paths = [path for path in (ROOT / "src" / "dragoman").rglob("*.py") if "simulator" not in path.parts]
    nodes = [node for path in paths for node in ast.walk(ast.parse(read(path)))]
    positions = dict(item for node in nodes for item in positions_of_code(node))
    for node in nodes:
        match node:
            case ast.keyword(arg="code", value=value) | ast.Assign(targets=[ast.Name(id="code")], value=value):
                yield from words_in(value)
            case ast.Call(func=ast.Name(id=name), args=[*args]) if len(args) > (
                position := positions.get(name, len(args))
            ):
                yield from words_in(args[position])
            case _:
                pass


def positions_of_code(node: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield each function or class with a positional argument `code`, and the index of the argument."""
    match node:
        case ast.FunctionDef(name=name, args=args):
            yield from ((name, index) for index, argument in enumerate(args.args) if argument.arg == "code")
        case ast.ClassDef(name=name, body=body):
            methods = [part for part in body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
            yield from ((name, index - 1) for part in methods for _, index in positions_of_code(part))
        case _:
            pass


def words_in(value: ast.expr) -> Iterator[str]:
    """Yield the string constants of an expression."""
    match value:
        case ast.Constant(value=str(word)):
            yield word
        case ast.IfExp(body=body, orelse=orelse):
            yield from words_in(body)
            yield from words_in(orelse)
        case _:
            pass


@every_page
def test_links(page: Path) -> None:
    """Every relative link points to a file."""
    targets = [found["target"].partition("#")[0] for found in LINK.finditer(read(page))]
    missing = [t for t in targets if t and "://" not in t and not (page.parent / t).exists()]
    assert missing == []


@every_page
def test_tables(page: Path) -> None:
    """Each table has a head, and all its rows have the same number of cells."""
    text = re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = [len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()]
        assert re.fullmatch(r"\|(---\|)+", table.splitlines()[1]), table
        assert set(rows) == {rows[0]}, table


def test_every_page_can_be_found() -> None:
    """The index links to every page of the docs."""
    linked = {found["target"] for found in LINK.finditer(read(ROOT / "docs" / "index.md"))}
    assert {page.name for page in ROOT.glob("docs/*.md")} - {"index.md"} <= linked


@every_page
def test_commands(page: Path) -> None:
    """Every `dragoman …` command in the docs can be parsed with all its flags."""
    for line in typed(page):
        before, found, after = ASSIGNED.sub("", line).partition("dragoman ")
        if found and before.strip() in {"", ".venv/bin/", "uvx --from ."} and "…" not in after:
            parse(shlex.split(after))


@every_page
def test_make_targets(page: Path) -> None:
    """Every `make …` has a target, and the flags in `ARGS` are flags of `serve`, or of the target's own program."""
    makefile = read(ROOT / "Makefile")
    for line in typed(page):
        if found := MAKE.match(line):
            assert re.search(rf"^{found['target']}:", makefile, re.MULTILINE), line
            given = [word[5:] for word in shlex.split(found["rest"]) if word.startswith("ARGS=")]
            flags = [flag for part in given for flag in shlex.split(part)]
            if found["target"] in PROGRAMS:
                program = read(ROOT / PROGRAMS[found["target"]])
                names = [flag.partition("=")[0] for flag in flags]
                assert [name for name in names if f'"{name}"' not in program] == []
            else:
                parse(["serve", *flags])


@every_page
def test_flags(page: Path) -> None:
    """Every flag in the docs belongs to a command."""
    names = [*COMMANDS, *ALIASES]
    groups = [command for command in map(subcommand, names) if command]
    inner = [one for group in groups if isinstance(group, click.Group) for one in group.commands.values()]
    commands = [*groups, *inner]
    known = {option for command in commands for parameter in command.params for option in parameter.opts}
    known |= {option for command in commands for parameter in command.params for option in parameter.secondary_opts}
    named = {span.split()[0] for span in spans(page) if re.match(r"--?[a-zA-Z]", span)}
    assert {flag for flag in named if "…" not in flag} - known - FOREIGN_FLAGS == set()


@every_page
def test_variables(page: Path) -> None:
    """Every `DRAGOMAN_…` variable belongs to a setting, or to a client of `dragoman connect`."""
    known = {variable for name in Settings.model_fields for variable in variables(name)}
    known |= {client.key_variable for client in CLIENTS.values()}
    assert set(VARIABLE.findall(read(page))) - known == set()


def test_limits() -> None:
    """The table of limits names settings that exist."""
    [section] = re.findall(r"^## Limits$.*?^A client", read(ROOT / "docs" / "operate.md"), re.MULTILINE | re.DOTALL)
    names = re.findall(r"^\| [^|`]+ \| `(\w+)` \|", section, re.MULTILINE)
    assert names
    assert set(names) <= set(Settings.model_fields)


def test_the_tree() -> None:
    """The page on the architecture names every part of the package, and draws the layers as they are checked."""
    page = read(ROOT / "docs" / "architecture.md")
    contracts = tomllib.loads(read(ROOT / "pyproject.toml"))["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    drawn = page.partition("`make contracts` checks it.")[2].partition("```\n")[2].partition("```")[0]
    assert drawn.splitlines() == [layer.replace("dragoman.", "") for layer in layers]
    [tree] = re.findall(r"^src/dragoman/\n.*?^```", page, re.MULTILINE | re.DOTALL)
    parts = [path for path in (ROOT / "src" / "dragoman").iterdir() if not path.name.startswith(("_", "py.typed"))]
    assert [path.name for path in parts if path.name not in tree] == []


def test_error_codes() -> None:
    """The page explains exactly the error codes that exist."""
    page = ROOT / "docs" / "troubleshooting.md"
    section = read(page).partition("## 401")[2].partition("## It works, but")[0]
    explained = {code for row in ROW.finditer(section) for code in re.findall(r"`(\w+)`", row["first"])}
    assert explained == codes()


def test_start_error_messages() -> None:
    """The error messages in the table of failed starts are in the code, word for word."""
    section = read(ROOT / "docs" / "troubleshooting.md").partition("## It does not start")[2].partition("\n## ")[0]
    quoted = [row["first"].strip("`.").strip() for row in ROW.finditer(section)]
    sources = [*(ROOT / "src").rglob("*.py"), ROOT / "Makefile"]
    output = "\n".join(re.sub(r'"\s*f?"', "", read(path)) for path in sources)
    assert quoted
    assert [words for words in quoted if words not in output] == []


def test_simulated_faults() -> None:
    """Each row of the table in the simulator's code is in its page, word for word."""
    assert faults.__doc__ is not None
    rows = [line for line in faults.__doc__.splitlines() if line.startswith("| `Simulate")]
    assert rows
    assert [row for row in rows if row not in read(ROOT / "docs" / "simulator.md").splitlines()] == []
