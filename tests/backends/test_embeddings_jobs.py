"""The queue of embeddings requests: turns, batches, results and cancellation."""

from dragoman.backends.embeddings.frames import Vector
from dragoman.backends.embeddings.local import Job, Jobs
from dragoman.core.errors import UpstreamFailed


def add_job(jobs: Jobs, size: int) -> Job:
    """Add a job with this number of inputs."""
    job = Job(["text"] * size)
    jobs.add(job)
    return job


async def test_short_request_does_not_wait_for_a_long_one() -> None:
    """Each job gets an equal share of the next batch. Space that a short job does not need goes to the long one."""
    jobs = Jobs()
    long, short = add_job(jobs, 100), add_job(jobs, 2)
    batch = jobs.batch(10)
    assert [piece.index for piece in batch if piece.job is short] == [0, 1]
    assert [piece.index for piece in batch if piece.job is long] == list(range(8))
    assert [piece.index for piece in jobs.batch(10)] == list(range(8, 18))


async def test_batch_takes_all_inputs_that_fit() -> None:
    """If all inputs fit into one batch, the queue is empty after it."""
    jobs = Jobs()
    add_job(jobs, 1)
    add_job(jobs, 2)
    assert len(jobs.batch(64)) == 3
    assert len(jobs) == 0
    assert jobs.batch(64) == []


async def test_vectors_are_in_the_order_of_the_inputs() -> None:
    """The order in which vectors are delivered does not matter."""
    job = Job(["a", "b", "c"])
    for index in (2, 0, 1):
        job.deliver(index, Vector(bytes([index]), 5, truncated=index == 1))
    result = await job.result
    assert result.vectors == [b"\0", b"\1", b"\2"]
    assert (result.tokens, result.truncated) == (15, [1])


async def test_finished_jobs_are_not_in_a_batch() -> None:
    """A job that failed and a job that was cancelled take no space in a batch. The first error of a job counts."""
    jobs = Jobs()
    failed, cancelled, active = add_job(jobs, 3), add_job(jobs, 3), add_job(jobs, 1)
    failed.fail(UpstreamFailed("Broke."))
    failed.fail(UpstreamFailed("Broke again."))
    cancelled.result.cancel()
    assert [piece.job for piece in jobs.batch(64)] == [active]
    error = failed.result.exception()
    assert isinstance(error, UpstreamFailed)
    assert error.message == "Broke."


async def test_late_vector_is_ignored() -> None:
    """A vector for a cancelled job changes nothing."""
    job = Job(["a"])
    job.result.cancel()
    job.deliver(0, Vector(b"", 1))
    assert job.result.cancelled()


async def test_discard() -> None:
    """A discarded job leaves the queue at once. To discard it again has no effect."""
    jobs = Jobs()
    job = add_job(jobs, 1)
    jobs.discard(job)
    jobs.discard(job)
    assert len(jobs) == 0
