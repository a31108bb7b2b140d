"""The compatibility table of `docs/clients.md`: its rows come from `make clients`, which runs real clients."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

RESULTS = Path("tests/clients/compatibility.json")
"""The rows, as `make clients` writes them. The path is relative to the repository."""
_HEAD = """\
## Compatibility

`make clients` installs the newest versions of these clients, configures each with what `dragoman connect` prints, and
runs it against `dragoman serve --simulate`. It writes this table. What is tried also fails if the gateway refuses one
request, even if the client then sends another. The quality of Claude's responses is not tried.

Codex offers more tools for the models of its own list. For `deferred MCP tool` and `patch by its tool`, Codex has the
model `gpt-5.5`, and the gateway `--model-aliases gpt-5.5=sonnet`. Codex lets the server compact a conversation only if
its provider has the name `OpenAI`; `compaction by the server` sets it. With the printed settings, Codex sends a prompt
for a summary. Claude Code defers the tools of MCP servers; for `MCP server`, it has `ENABLE_TOOL_SEARCH=false`.

| client | version | date | backend | tried | result |
|---|---|---|---|---|---|"""


class Result(msgspec.Struct, frozen=True):
    """What one version of a client did with one backend.

    Attributes:
        client: The client's name.
        version: Its version.
        date: The day of the run, as in `2026-01-31`.
        backend: The gateway's backend; empty if the client was not installed.
        tried: The names of the scenarios.
        failed: The reason of each scenario that failed, by its name.
        missing: Why the client was not installed; empty if it was.
    """

    client: str
    version: str
    date: str
    backend: str
    tried: list[str]
    failed: dict[str, str]
    missing: str = ""


def read_results(path: Path) -> list[Result]:
    """Return the rows of a file; none if there is no file."""
    return msgspec.json.decode(path.read_bytes(), type=list[Result]) if path.is_file() else []


def write_results(path: Path, results: Iterable[Result]) -> None:
    """Write rows: clients in the order of their names, the newest version first."""
    ordered = sorted(results, key=lambda result: result.backend)
    ordered.sort(key=lambda result: _numbers(result.version), reverse=True)
    ordered.sort(key=lambda result: result.client)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(ordered), indent=2) + b"\n")


def compatibility_section(results: Iterable[Result]) -> Iterator[str]:
    """Yield the lines of the section."""
    yield _HEAD
    for result in results:
        cells = (result.client, result.version, result.date, result.backend, ", ".join(result.tried), _outcome(result))
        yield f"| {' | '.join(_cell(cell) for cell in cells)} |"
    yield ""


def _outcome(result: Result) -> str:
    if result.missing:
        return f"not installed ({result.missing})"
    if not result.failed:
        return "passed"
    return "failed: " + "; ".join(f"{name} ({reason})" for name, reason in result.failed.items())


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;") or "none"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
