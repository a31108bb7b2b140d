"""What ends child processes when the gateway itself is killed.

An idle Claude Code process ends when its input closes. One that waits for the API does not notice, and would go on for
as long as the model thinks. So a small shell stands by: it knows every process, and its own input closes with the
gateway too.
"""

import asyncio
import contextlib

import structlog

log = structlog.get_logger("dragoman.processes")

# A terminal's Ctrl-C is the gateway's to deal with. Each process leads a group of its own.
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
# Twice: one may start another meanwhile.
for round in 1 2; do
  for file in $(grep -lsz -- "^$1" /proc/[0-9]*/environ); do
    pid=${file#/proc/}
    kill -s KILL "${pid%/environ}"
  done
done
"""


class Guard:
    """A shell that outlives the gateway by a moment. Owns that shell."""

    def __init__(self, mark: str = "") -> None:
        """A guard that has not begun.

        Args:
            mark: How the environment entry begins that other processes to end have, where there is a `/proc`: those
                that left the groups they were started in.
        """
        self._mark = mark
        self._shell: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it. Without a shell the gateway works all the same."""
        try:
            self._shell = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", _SCRIPT, "guard", self._mark),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            log.warning("processes.no_guard", error=error.strerror)

    def add(self, pid: int) -> None:
        """Watch over a process that leads its own group."""
        self._tell(f"+ {pid}\n")

    def remove(self, pid: int) -> None:
        """Forget a process that was reaped, before its number is given to another."""
        self._tell(f"- {pid}\n")

    async def aclose(self) -> None:
        """End it, and what it still watches over. Idempotent."""
        shell, self._shell = self._shell, None
        if shell is not None and shell.stdin is not None:
            shell.stdin.close()
            await shell.wait()

    def _tell(self, line: str) -> None:
        stdin = self._shell.stdin if self._shell is not None else None
        if stdin is None or stdin.is_closing():  # uvloop raises where nobody reads any more
            return
        with contextlib.suppress(ConnectionError):
            stdin.write(line.encode())
