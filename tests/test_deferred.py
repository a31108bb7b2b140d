"""Deferred calls: in order, all of them, and none too late for those who look."""

import asyncio

from dragoman.core.deferred import DeferredCalls
from log_lines import log_lines


async def test_calls_are_made_later_and_in_order() -> None:
    """Several in one go. A call may add another one."""
    deferred = DeferredCalls()
    made: list[int] = []
    done = asyncio.Event()

    def last(number: int) -> None:
        made.append(number)
        deferred.add(made.append, 4)
        deferred.add(lambda _: done.set(), None)

    for number in (1, 2):
        deferred.add(made.append, number)
    deferred.add(last, 3)
    assert made == []
    await done.wait()
    assert made == [1, 2, 3, 4]


async def test_flush_makes_them_at_once() -> None:
    """And once only."""
    deferred = DeferredCalls()
    made: list[str] = []
    deferred.add(made.append, "first")
    deferred.flush()
    deferred.flush()
    assert made == ["first"]


async def test_an_error_ends_no_other_call() -> None:
    """It is logged."""
    deferred = DeferredCalls()
    made: list[object] = []
    deferred.add(made.remove, "not there")
    deferred.add(made.append, "second")
    with log_lines() as log:
        deferred.flush()
    assert made == ["second"]
    assert [line["event"] for line in log] == ["deferred.broke"]
