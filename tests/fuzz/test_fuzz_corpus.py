"""The parsers keep their promises for what fuzzers found once, and for the inputs that fuzzers begin with."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz_targets import TARGETS

_CORPUS = Path(__file__).parent / "corpus"


def _inputs() -> Iterator[object]:
    for name in TARGETS:
        for path in sorted((_CORPUS / name).glob("*")):
            yield pytest.param(name, path.read_bytes(), id=f"{name}-{path.name}")


@pytest.mark.parametrize(("name", "data"), list(_inputs()))
def test_a_parser_keeps_its_promises(name: str, data: bytes) -> None:
    """It raises nothing but its documented errors; each target says what else holds."""
    TARGETS[name](data)


def test_every_finding_belongs_to_a_parser() -> None:
    """Nothing in the corpus is left out, and each parser has inputs to begin with."""
    assert {path.name for path in _CORPUS.iterdir()} == set(TARGETS)
