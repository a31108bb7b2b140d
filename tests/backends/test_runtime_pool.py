"""Warm processes: whatever goes wrong, the pool is filled again, and readiness reports the failure until then."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from backend_harness import runtime
from gateways import until, with_timeout

from dragoman.backends.claude_code.pool import PoolKey, Prompt, WarmPool
from dragoman.backends.claude_code.session import Session
from dragoman.backends.shared.child_process import ChildProcess
from dragoman.core.errors import UpstreamFailed


class Boot:
    """Fails once with each error, and then boots processes that only wait, while it is open."""

    def __init__(self, folder: Path, *errors: Exception) -> None:
        self.errors = [*errors]
        self.open = asyncio.Event()
        self.open.set()
        self.folder = folder
        self.sessions: list[Session] = []

    async def __call__(self, _: PoolKey) -> Session:
        """Boot a process."""
        await self.open.wait()
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


def key_with(client: str, system: str = "Be brief.") -> PoolKey:
    """Return the key of a request."""
    return PoolKey(prompt=Prompt(client, system, ("look",), {}))


class Warmed(list[PoolKey]):
    """The keys of the processes that were warmed up."""

    async def __call__(self, key: PoolKey, _: Session) -> None:
        """Note a process."""
        self.append(key)


async def test_one_process_is_initialized_ahead_for_a_repeated_prompt(tmp_path: Path) -> None:
    """Two conversations in a row must have the prompt. No other prompt and no other client gets the process."""
    boot, warmed = Boot(tmp_path), Warmed()
    pool = WarmPool(boot, size=2, warm_up=warmed)
    a, other_prompt, other_client = key_with("a"), key_with("a", "Be long."), key_with("b")

    async def ahead() -> list[PoolKey]:
        await until(pool.filled.is_set)
        return [key for key, sessions in pool._waiting.items() for _ in sessions if key.prompt]

    async def take(key: PoolKey) -> Session:
        session, path = await pool.take(key)
        assert path == "warm"
        pool.filled.clear()
        session.discard()
        return session

    pool.start(PoolKey())
    for key, expected in ((a, []), (a, [a]), (other_prompt, [a]), (a, [a]), (other_client, [a]), (other_prompt, [])):
        before = await ahead()
        prepared = pool._waiting[a][0] if before else None
        assert (await take(key) is prepared) == (key in before)
        assert await ahead() == expected
    assert len(warmed) == len(boot.sessions)
    await pool.aclose()
    await asyncio.gather(*(session.exited for session in boot.sessions))


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_request_waits_for_the_process_that_boots(tmp_path: Path, *, cancelled: bool) -> None:
    """It has a lead. One request gets it; a second one boots its own. A cancelled request leaves it to the pool."""
    boot = Boot(tmp_path)
    boot.open.clear()
    pool = WarmPool(boot, size=1)
    pool.start(PoolKey())
    await until(lambda: pool._booting)
    first, second = (asyncio.create_task(pool.take(key_with(client))) for client in "ab")
    await asyncio.sleep(0)
    if cancelled:
        first.cancel()
    boot.open.set()
    session, path = await with_timeout(second)
    assert (session.alive, path) == (True, "cold")
    if cancelled:
        await until(lambda: len(pool))
    else:
        assert (await with_timeout(first))[0] is not session
    assert len(boot.sessions) == 2
    for booted in boot.sessions:
        booted.discard()
    await pool.aclose()
    await asyncio.gather(*(booted.exited for booted in boot.sessions))


async def test_a_request_boots_its_own_process_after_a_boot_that_failed(tmp_path: Path) -> None:
    """The error of the pool's own boot is no error of the request."""
    boot = Boot(tmp_path, UpstreamFailed("It cannot be started."))
    boot.open.clear()
    pool = WarmPool(boot, size=1)
    pool.start(PoolKey())
    await until(lambda: pool._booting)
    taking = asyncio.create_task(pool.take(PoolKey()))
    await asyncio.sleep(0)
    boot.open.set()
    session, path = await with_timeout(taking)
    assert (session.alive, path) == (True, "cold")
    session.discard()
    await pool.aclose()
    await asyncio.gather(*(session.exited for session in boot.sessions))
