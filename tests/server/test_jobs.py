"""The jobs that generate stored responses: their leases are renewed, whatever the store does."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

from responses_support import dialect, raw
from scripted import ScriptedBackend, hangs, opening

from dragoman.runs.engine import Engine, Limits
from dragoman.runs.run import Run
from dragoman.server.collect import RunGroup
from dragoman.server.stored.job import Job, JobSpec
from dragoman.server.stored.service import Jobs
from dragoman.server.stored.writer import Lease, ResponseWriter
from dragoman.stores.sqlite.responses import SQLiteResponseStore
from log_lines import log_lines

LEASE = Lease("ann", "process-1")


class RenewalFailsOnce(SQLiteResponseStore):
    """A store whose first renewal fails with an error that is no `StoreFailed`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.failed = asyncio.Event()

    async def renew(self, producer: str) -> frozenset[str]:
        """Fail, then renew."""
        if not self.failed.is_set():
            self.failed.set()
            raise RuntimeError("driver broke")
        return await super().renew(producer)


async def test_lease_renewal_restarts_after_an_unexpected_error(tmp_path: Path) -> None:
    """The error is logged and reported. The next renewal ends a job that another process has cancelled meanwhile."""
    store, responses = RenewalFailsOnce(tmp_path / "answers.db"), dialect(stores_responses=True)
    request = responses.decode(raw(background=True))
    engine = Engine(ScriptedBackend(hangs(after=opening())), Limits())

    async def start(_: Iterable[int]) -> list[Run]:
        return engine.submit_all([request.body], request.resolved.model, client="ann")

    group = RunGroup(start)
    await group.start(1)
    writer = ResponseWriter(store, responses.stored_format, request, group.identity, LEASE)
    await writer.begin()
    assert writer.document is not None
    jobs = Jobs(store, renewal=0.001)
    job = Job(JobSpec(responses, request, group, writer), detached=True)
    with log_lines() as log:
        jobs.start(job)
        await store.failed.wait()
        assert await store.finish(job.id, responses.stored_format.cancelled(writer.document))
        assert jobs.failures() == {
            "jobs.renew": "The task `jobs.renew` failed and is restarted: RuntimeError: driver broke."
        }
        async with asyncio.timeout(20):  # without a restart nothing would end the job
            await jobs.aclose()
    assert job.ended
    assert jobs.get(job.id) is None
    assert [run.status for run in group.runs] == ["cancelled"]
    assert [str(line["exc_info"]) for line in log if line["event"] == "job.renewal_broke"] == ["driver broke"]
    await store.aclose()
