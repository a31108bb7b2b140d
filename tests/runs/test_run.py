"""The state of a run: rejected responses, and callbacks that fail."""

from collections.abc import Callable

import pytest

from dragoman.core.errors import Overloaded, UpstreamFailed
from dragoman.runs.run import Run

INVALID = UpstreamFailed("Not what was requested.", code="schema_mismatch")
MODEL = "claude-sonnet-5-5"


@pytest.mark.parametrize("end", [Run.mark_succeeded, Run.mark_cancelled])
def test_a_run_with_a_rejected_response_has_failed(end: Callable[[Run], None]) -> None:
    """Whether its reader rejects the response before the end of the run or after it."""
    early, late = Run("me", MODEL), Run("me", MODEL)
    early.reject(INVALID)
    assert not early.ended
    end(early)
    end(late)
    late.reject(INVALID)
    assert [(run.status, run.error) for run in (early, late)] == [("failed", INVALID)] * 2


async def test_the_end_of_a_run_reaches_its_reader_though_its_record_cannot_be_made() -> None:
    """A callback that raises is logged."""

    def fail(_run: Run) -> None:
        raise OSError

    run = Run("me", MODEL, fail)
    run.mark_running()
    with run.subscribe() as subscriber:
        run.fail(Overloaded("Busy."))
        assert await subscriber.wait(0)
    with pytest.raises(Overloaded):
        await run.next(None)
