"""The compatibility table in `docs/clients.md` has the form that `make clients` writes."""

import re
from datetime import date

import pytest
from pages import ROOT, read

from tools.docs.compatibility import RESULTS, Result, compatibility_section, read_results

PASSED = Result("Codex", "1.2.3", "2026-01-31", "api", ["text", "patch"], {})


def rows() -> list[list[str]]:
    """Return the cells of each row of the page's table."""
    section = read(ROOT / "docs" / "clients.md").split("\n## Compatibility\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert lines[0] == "| client | version | date | backend | tried | result |"
    return [re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |")) for line in lines[2:]]


def test_each_row_names_its_run() -> None:
    """A row has client, version, day, backend, what was tried and the result."""
    for client, version, day, backend, tried, result in rows():
        assert client in {"Codex", "Claude Code"}
        assert result.startswith(("passed", "failed: ", "not installed ("))
        assert date.fromisoformat(day).isoformat() == day
        if not result.startswith("not installed"):
            assert re.fullmatch(r"\d+\.\d+\.\d+", version)
            assert backend in {"api", "runtime"}
            assert len(tried.split(", ")) >= 9


@pytest.mark.parametrize("client", ["Codex", "Claude Code"])
def test_each_client_has_three_versions_on_each_backend(client: str) -> None:
    """The table is complete: the newest version of each client and two before it, or why one is missing."""
    own = [row for row in rows() if row[0] == client]
    versions = {row[1] for row in own}
    tried = {(row[1], row[3]) for row in own}
    missing = {row[1] for row in own if row[5].startswith("not installed")}
    assert len(versions) == 3 or "newest" in missing
    assert all((version, backend) in tried for version in versions - missing for backend in ("api", "runtime"))


def test_the_page_shows_the_recorded_results() -> None:
    """The rows come from the file that `make clients` writes."""
    section = "\n".join(compatibility_section(read_results(ROOT / RESULTS)))
    assert section in read(ROOT / "docs" / "clients.md")


@pytest.mark.parametrize(
    ("result", "end"),
    [
        (PASSED, "| api | text, patch | passed |"),
        (
            Result("Codex", "1.2.3", "2026-01-31", "api", ["text", "patch"], {"patch": "no <file>|x"}),
            "| api | text, patch | failed: patch (no &lt;file>\\|x) |",
        ),
        (
            Result("Codex", "1.2.3", "2026-01-31", "", [], {}, missing="npm: E404"),
            "| none | none | not installed (npm: E404) |",
        ),
    ],
)
def test_failures_and_missing_clients_are_named(result: Result, end: str) -> None:
    """A row says which scenario failed and why, or why the client was not installed."""
    row = list(compatibility_section([result]))[-2]
    assert row == f"| Codex | 1.2.3 | 2026-01-31 {end}"
