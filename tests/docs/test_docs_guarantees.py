"""The page of guarantees names tests that exist."""

import re

import pytest
from pages import ROOT, read

PAGE = ROOT / "docs" / "guarantees.md"
ROW = re.compile(r"^\| (?P<promise>[^|]+) \| (?P<held_by>[^|]+) \|$", re.MULTILINE)
FILE = re.compile(r"`(?P<file>tests/[^`]+)`: (?P<tests>(?:`test_\w+`(?:, )?)+)")
PROMISES = [
    (found["promise"], found["held_by"])
    for found in ROW.finditer(read(PAGE).partition("\n## Results of make proof")[0])
    if found["promise"] not in {"promise", "---"}
]


@pytest.mark.parametrize(("promise", "held_by"), PROMISES)
def test_each_promise_is_held_by_tests_that_exist(promise: str, held_by: str) -> None:
    """Each file contains the tests that the page names."""
    assert promise.endswith(".")
    assert "; ".join(found[0] for found in FILE.finditer(held_by)) == held_by
    for found in FILE.finditer(held_by):
        source = (ROOT / found["file"]).read_text(encoding="utf-8")
        for name in re.findall(r"test_\w+", found["tests"]):
            assert re.search(rf"^(async )?def {name}\(", source, re.MULTILINE), f"{found['file']} has no {name}"


def test_the_page_is_read() -> None:
    """The pattern above finds its rows."""
    assert len(PROMISES) > 30
