"""Requests in the queue for vectors: turns, batches, endings."""

from dragoman.backends.embeddings.frames import Vector
from dragoman.backends.embeddings.local import Job, Jobs
from dragoman.core.errors import UpstreamFailed


def job(jobs: Jobs, size: int) -> Job:
    """One more request in the queue."""
    made = Job(["text"] * size)
    jobs.add(made)
    return made


async def test_a_short_request_does_not_wait_for_a_long_one() -> None:
    """Each gets its part of the next batch; what one does not need, the other gets."""
    jobs = Jobs()
    long, short = job(jobs, 100), job(jobs, 2)
    batch = jobs.batch(10)
    assert [piece.index for piece in batch if piece.job is short] == [0, 1]
    assert [piece.index for piece in batch if piece.job is long] == list(range(8))
    assert [piece.index for piece in jobs.batch(10)] == list(range(8, 18))


async def test_a_batch_takes_all_there_is() -> None:
    """And then nobody waits."""
    jobs = Jobs()
    job(jobs, 1)
    job(jobs, 2)
    assert len(jobs.batch(64)) == 3
    assert len(jobs) == 0
    assert jobs.batch(64) == []


async def test_vectors_come_back_in_the_order_of_the_inputs() -> None:
    """Whatever the order in which they were made."""
    made = Job(["a", "b", "c"])
    for place in (2, 0, 1):
        made.deliver(place, Vector(bytes([place]), 5, truncated=place == 1))
    answer = await made.result
    assert answer.vectors == [b"\0", b"\1", b"\2"]
    assert (answer.tokens, answer.truncated) == (15, [1])


async def test_a_request_that_ended_takes_no_more_places() -> None:
    """One that failed, and one whose client left."""
    jobs = Jobs()
    failed, left, stays = job(jobs, 3), job(jobs, 3), job(jobs, 1)
    failed.fail(UpstreamFailed("Broke."))
    failed.fail(UpstreamFailed("Broke again."))
    left.result.cancel()
    assert [piece.job for piece in jobs.batch(64)] == [stays]
    error = failed.result.exception()
    assert isinstance(error, UpstreamFailed)
    assert error.message == "Broke."


async def test_what_comes_too_late_is_left_lying() -> None:
    """A vector for a request that is over changes nothing."""
    made = Job(["a"])
    made.result.cancel()
    made.deliver(0, Vector(b"", 1))
    assert made.result.cancelled()


async def test_leaving_the_queue() -> None:
    """The place is free at once."""
    jobs = Jobs()
    made = job(jobs, 1)
    jobs.discard(made)
    jobs.discard(made)
    assert len(jobs) == 0
