"""Slots, and the queue before them."""

import pytest

from dragoman.core.errors import QueueFull
from dragoman.runs.admission import Admission


async def test_slots_are_granted_in_the_order_of_arrival() -> None:
    """The queue is first come, first served."""
    admission = Admission(slots=1, queue_size=2)
    first, second, third = admission.enter(), admission.enter(), admission.enter()
    await first.wait()
    assert (admission.running, admission.queued) == (1, 2)
    first.leave()
    await second.wait()
    assert not third.granted
    second.leave()
    await third.wait()
    third.leave()
    assert (admission.running, admission.queued) == (0, 0)


async def test_a_full_queue_refuses_with_a_time_to_retry() -> None:
    """`retry_after` grows with the queue."""
    admission = Admission(slots=1, queue_size=1)
    admission.enter()
    admission.enter()
    with pytest.raises(QueueFull) as caught:
        admission.enter()
    assert caught.value.code == "queue_full"
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 0


async def test_leaving_the_queue_frees_the_position() -> None:
    """The ticket that left never gets a slot."""
    admission = Admission(slots=1, queue_size=1)
    first, second = admission.enter(), admission.enter()
    second.leave()
    third = admission.enter()
    first.leave()
    await third.wait()
    assert not second.granted


async def test_leaving_twice_frees_one_slot() -> None:
    """A slot belongs to one ticket."""
    admission = Admission(slots=1, queue_size=5)
    first, second, third = admission.enter(), admission.enter(), admission.enter()
    first.leave()
    first.leave()
    await second.wait()
    assert not third.granted
    assert admission.running == 1
