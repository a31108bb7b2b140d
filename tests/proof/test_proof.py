"""The short form of `make proof`: 500 runs on the direct backend."""

import asyncio

from proof_phases import Options, run_phase
from proof_table import findings, table

_RUNS = 500


def test_no_wrong_answer_leaves_the_gateway() -> None:
    """Each success is the scripted answer of its own request, each failure an error of its dialect; nothing leaks."""
    options = Options(backend="api", runs=_RUNS, seed=1, only=None, seconds=300, at_once=24)
    result = asyncio.run(run_phase("faults", options))
    assert result.tally is not None
    assert not result.tally.findings, findings([result], options)
    # A short run shows caches that fill, not leaks.
    assert not set(result.leaks) - {"memory"}, table([result], options.backend)
