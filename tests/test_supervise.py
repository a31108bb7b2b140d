"""Long-lived tasks: a failure is reported and followed by a restart, never by silence."""

import asyncio
import errno

from dragoman.core.supervise import SupervisedTask


class Work:
    """Work that raises the given errors, one in each attempt, and then runs until it is cancelled."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.pauses: list[float] = []
        self.running = asyncio.Event()
        self.task = SupervisedTask(self, name="work", on_failure=self.note, first_pause=0, max_pause=60)

    def note(self, _: Exception, pause: float) -> None:
        """Note a pause."""
        self.pauses.append(pause)

    async def __call__(self) -> None:
        """Raise the next error, or run."""
        if self.errors:
            raise self.errors.pop(0)
        self.running.set()
        await asyncio.Event().wait()


async def test_a_task_that_fails_is_restarted() -> None:
    """Whatever it raises. The failure is known until the work reports that it recovered."""
    work = Work(OSError(errno.ENOENT, "No such file or directory", "/a/path"), KeyError("key"))
    work.task.start()
    await asyncio.wait_for(work.running.wait(), 60)
    assert work.task.running
    assert work.task.failure == "The task `work` failed and is restarted: KeyError: 'key'."
    assert len(work.pauses) == 2
    await work.task.aclose()
    assert not work.task.running


async def test_a_failure_is_forgotten_when_the_work_recovers() -> None:
    """The work itself says so, because only it knows when it does what it should."""
    work = Work(ValueError("a"))
    work.task.start()
    await asyncio.wait_for(work.running.wait(), 60)
    work.task.recovered()
    assert work.task.failure is None
    await work.task.aclose()


async def test_the_failure_names_no_path() -> None:
    """Readiness shows it to clients."""
    work = Work(OSError(errno.ENOENT, "No such file or directory", "/a/path"))
    work.task.start()
    await asyncio.wait_for(work.running.wait(), 60)
    assert work.task.failure == "The task `work` failed and is restarted: FileNotFoundError: No such file or directory."
    await work.task.aclose()


async def test_pauses_grow_up_to_a_limit() -> None:
    """A task that always fails does not use the processor up."""
    pauses: list[float] = []
    stopped = asyncio.Event()

    async def fail() -> None:
        raise ValueError

    def note(_: Exception, pause: float) -> None:
        pauses.append(pause)
        if len(pauses) == 5:
            stopped.set()

    task = SupervisedTask(fail, name="work", on_failure=note, first_pause=0.001, max_pause=0.004)
    task.start()
    await asyncio.wait_for(stopped.wait(), 60)
    await task.aclose()
    assert pauses == [0.001, 0.002, 0.004, 0.004, 0.004]
    assert task.failure == "The task `work` failed and is restarted: ValueError."


async def test_a_report_that_fails_does_not_end_the_task() -> None:
    """Logging may fail too."""
    work = Work(ValueError("a"))

    def broken(_: Exception, __: float) -> None:
        raise OSError

    task = SupervisedTask(work, name="work", on_failure=broken, first_pause=0)
    task.start()
    await asyncio.wait_for(work.running.wait(), 60)
    await task.aclose()


async def test_work_that_returns_is_over() -> None:
    """It is not restarted by itself, but may be started again."""
    count = 0

    async def once() -> None:
        nonlocal count
        count += 1

    task = SupervisedTask(once, name="work", on_failure=lambda *_: None)
    for expected in (1, 2):
        task.start()
        task.start()
        while task.running:  # noqa: ASYNC110 - the task runs in the meantime
            await asyncio.sleep(0)
        assert count == expected
    await task.aclose()


async def test_work_that_is_cancelled_from_inside_is_restarted() -> None:
    """Work that awaits a cancelled future raises the same exception as work that its owner cancels."""
    attempts: list[int] = []
    running = asyncio.Event()

    async def work() -> None:
        attempts.append(1)
        if len(attempts) == 1:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.cancel()
            await future
        running.set()
        await asyncio.Event().wait()

    task = SupervisedTask(work, name="work", on_failure=lambda *_: None, first_pause=0)
    task.start()
    await asyncio.wait_for(running.wait(), 60)
    assert task.running
    assert isinstance(task.error, RuntimeError)
    await task.aclose()
    assert not task.running
