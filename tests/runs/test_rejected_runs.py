"""Runs whose reader finds that the answer is not what was asked for."""

from collections.abc import Callable

import pytest

from dragoman.core.errors import UpstreamFailed
from dragoman.runs.run import Run

FAULT = UpstreamFailed("Not what was asked for.", code="schema_mismatch")


@pytest.mark.parametrize("end", [Run.succeeded, Run.cancelled])
def test_a_rejected_run_has_failed(end: Callable[[Run], None]) -> None:
    """Whether that is found out before its end or after."""
    early, late = Run("me", "claude-sonnet-5-5"), Run("me", "claude-sonnet-5-5")
    early.rejected(FAULT)
    assert not early.ended
    end(early)
    end(late)
    late.rejected(FAULT)
    assert [(run.status, run.error) for run in (early, late)] == [("failed", FAULT)] * 2
