"""Ends child processes when the gateway itself is killed.

An idle Claude Code process ends when its input closes. One that waits for the API does not notice, and would continue
for as long as the model needs. So a small shell knows every process, and kills them when its own input closes, which
the kernel does when the gateway dies. On Linux the kernel itself kills the processes that the gateway started, and at
once (see `ChildProcess.spawn`); the shell kills their children too.
"""

import asyncio
import contextlib
from collections.abc import Mapping

from dragoman.core import log
from dragoman.core.supervise import SupervisedTask, failures_in

_TRIAL = 5.0


# The gateway handles a terminal's Ctrl-C, so the shell ignores it. Each process leads a group of its own.
_SCRIPT = """
trap '' INT TERM HUP
known=' '
while read -r sign pid; do
  case $sign in
    +) known="$known$pid " ;;
    -) known="${known%% $pid *} ${known#* $pid }" ;;
  esac
done
for pid in $known; do kill -s KILL -- "-$pid"; done
[ -n "$1" ] || exit 0
# Twice: a process may start another in the meantime.
for round in 1 2; do
  for file in $(grep -lsz -- "^$1" /proc/[0-9]*/environ); do
    pid=${file#/proc/}
    kill -s KILL "${pid%/environ}"
  done
done
"""


class ProcessGuard:
    """A shell that outlives the gateway until it has killed the gateway's processes. Owns that shell.

    A shell that ends before is replaced.
    """

    def __init__(self, mark: str = "", trial: float = _TRIAL) -> None:
        """Prepare a guard without a shell.

        Args:
            mark: The beginning of an environment entry. The shell also kills processes with such an entry that have
                left the group they were started in, on systems with `/proc`.
            trial: Seconds after which a new shell counts as working.
        """
        self._trial = trial
        self._mark = mark
        self._pids: set[int] = set()
        self._shell: asyncio.subprocess.Process | None = None
        self._task = SupervisedTask(self._keep_shell, name="process-guard", on_failure=_log_failure)

    async def start(self) -> None:
        """Start the shell. The gateway works without one, so a failure is only logged."""
        try:
            await self._start_shell()
        except OSError as error:
            log.warning("processes.no_guard", error=error.strerror)
        else:
            self._task.start()

    def add(self, pid: int) -> None:
        """Guard a process that leads its own group."""
        self._pids.add(pid)
        self._write(f"+ {pid}\n")

    def remove(self, pid: int) -> None:
        """Forget a process that was reaped, before its number belongs to another process."""
        self._pids.discard(pid)
        self._write(f"- {pid}\n")

    def failures(self) -> Mapping[str, str]:
        """Return why there is no shell, or a new one; see `dragoman.core.supervise.ReportsFailures`."""
        return failures_in(self._task)

    async def aclose(self) -> None:
        """End the shell, which kills the processes that it still guards. Idempotent."""
        await self._task.aclose()
        shell, self._shell = self._shell, None
        if shell is not None and shell.stdin is not None:
            shell.stdin.close()
            await shell.wait()

    async def _keep_shell(self) -> None:
        shell = self._shell
        if shell is None or shell.returncode is not None:
            shell = await self._start_shell()
        try:
            async with asyncio.timeout(self._trial):
                await shell.wait()
        except TimeoutError:
            self._task.recovered()
        raise RuntimeError(f"the shell ended with status {await shell.wait()}")

    async def _start_shell(self) -> asyncio.subprocess.Process:
        self._shell = shell = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", _SCRIPT, "guard", self._mark),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
        )
        self._write("".join(f"+ {pid}\n" for pid in self._pids))
        return shell

    def _write(self, lines: str) -> None:
        stdin = self._shell.stdin if self._shell is not None else None
        if stdin is None or stdin.is_closing():  # uvloop raises if the shell is gone
            return
        with contextlib.suppress(ConnectionError):
            stdin.write(lines.encode())


def _log_failure(error: Exception, pause: float) -> None:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    log.warning("processes.no_guard", error=reason, again_in=pause)
