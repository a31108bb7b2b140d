"""Warm processes: whatever goes wrong, the pool is filled again, and readiness reports the failure until then."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from backend_harness import runtime
from gateways import with_timeout

from dragoman.backends.claude_code.pool import PoolKey, WarmPool
from dragoman.backends.claude_code.session import Session
from dragoman.backends.shared.child_process import ChildProcess
from dragoman.core.errors import UpstreamFailed


async def until(condition: Callable[[], object]) -> None:
    """Return once a condition holds."""

    async def poll() -> None:
        while not condition():  # noqa: ASYNC110 - another task makes it hold
            await asyncio.sleep(0.01)

    await with_timeout(poll())


class Boot:
    """Fails once with an error, and then boots processes that only wait."""

    def __init__(self, folder: Path, error: Exception) -> None:
        self.errors = [error]
        self.folder = folder
        self.sessions: list[Session] = []

    async def __call__(self, _: PoolKey) -> Session:
        """Boot a process."""
        if self.errors:
            raise self.errors.pop()
        process = await ChildProcess.spawn(["/bin/cat"], env={}, cwd=self.folder)
        self.sessions.append(session := Session(process, silence=10))
        return session


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory", "/a/path"), "FileNotFoundError: No such file or directory"),
        (KeyError("models"), "KeyError: 'models'"),
        (UpstreamFailed("It cannot be started."), "It cannot be started."),
    ],
    ids=["OSError", "KeyError", "GatewayError"],
)
async def test_a_pool_whose_boot_fails_is_filled_later(tmp_path: Path, error: Exception, reason: str) -> None:
    """Any error is reported and followed by another try."""
    boot = Boot(tmp_path, error)
    pool = WarmPool(boot, size=1)
    pool.start(PoolKey())
    await until(lambda: pool.failure)
    assert reason in (pool.failure or "")
    assert "/a/path" not in (pool.failure or "")
    assert pool.failures() == {"runtime-pool": pool.failure}
    await until(lambda: len(pool))
    assert pool.failure is None
    await pool.aclose()
    await asyncio.gather(*(session.exited for session in boot.sessions))


async def test_readiness_reports_a_pool_that_cannot_be_filled(tmp_path: Path) -> None:
    """A file in place of a directory of the gateway's own: not ready until it is gone, without a restart."""
    (tmp_path / "state").mkdir()
    obstacle = tmp_path / "state" / "seeds"
    obstacle.touch()
    async with runtime(tmp_path, signed_in=True, warm_processes=1) as harness:
        await until(harness.backend.ready)
        assert "runtime-pool" in (harness.backend.ready() or "")
        assert "File exists" in (harness.backend.ready() or "")
        assert list(harness.backend.failures()) == ["runtime-pool"]
        with suppress(FileNotFoundError):
            obstacle.unlink()
        await until(lambda: harness.backend.ready() is None)
        assert harness.backend.failures() == {}
        assert harness.processes["spare"] == 1
