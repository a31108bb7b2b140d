"""A timer that is moved often. Another timer shows that its time has passed."""

import asyncio
from collections.abc import Callable

import pytest

from dragoman.core.moving_timer import MovingTimer

LONG = 3600.0


async def passed() -> None:
    """Wait until timers that are due have run."""
    event = asyncio.Event()
    MovingTimer(event.set).start(0.0)
    await event.wait()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("act", "calls"),
    [
        (lambda timer: timer.start(0.0), 1),
        (lambda timer: (timer.start(LONG), timer.start(0.0)), 1),
        (lambda timer: (timer.start(0.0), timer.pause(), timer.start(0.0)), 1),
        (lambda timer: (timer.start(0.0), timer.start(LONG)), 0),
        (lambda timer: (timer.start(0.0), timer.pause()), 0),
        (lambda timer: (timer.start(0.0), timer.cancel()), 0),
    ],
)
async def test_the_last_start_counts(act: Callable[[MovingTimer], object], calls: int) -> None:
    """Whether it comes sooner or later than the one before, or is taken back."""
    called: list[None] = []
    timer = MovingTimer(lambda: called.append(None))
    act(timer)
    await passed()
    assert len(called) == calls
    timer.cancel()
    await passed()
    assert len(called) == calls
