"""The instructions of the Dockerfile, and a root file system in which its steps run without a container engine."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TIMEOUT = 300
"""Seconds for one step."""

USER = 10001
"""The id of the gateway's user. No user of this machine has it."""

_CLEAN_ROOT = Path(__file__).with_name("clean_root.sh")
_PYTHONS = ("/usr/local/bin/python3", "/usr/bin/python3")
"""Paths of interpreters that every user can run."""

_PYTHON_CHECK = "import sys, ensurepip; sys.exit(sys.version_info < (3, 11))"


def instructions(name: str) -> list[str]:
    """Return the arguments of each instruction with this name in the Dockerfile's last stage."""
    _, _, last = (ROOT / "Dockerfile").read_text(encoding="utf-8").rpartition("\nFROM ")
    lines = last.replace("\\\n", " ").splitlines()
    return [line.partition(" ")[2].strip() for line in lines if line.startswith(f"{name} ")]


def environment() -> dict[str, str]:
    """Return the variables that the image sets."""
    return dict(line.split("=", 1) for line in instructions("ENV"))


def entrypoint() -> list[str]:
    """Return the image's command without its default argument `serve`."""
    command: list[str] = json.loads(instructions("ENTRYPOINT")[0])
    return command


def interpreter() -> str | None:
    """Return the path of a Python that every user can run and that is new enough, or None."""
    paths = (
        path
        for path in _PYTHONS
        if Path(path).exists()
        and subprocess.run([path, "-c", _PYTHON_CHECK], check=False, capture_output=True).returncode == 0  # noqa: S603 - fixed
    )
    return next(paths, None)


def skip_reason() -> str | None:
    """Return why this machine cannot run the image's steps, or None if it can."""
    if os.geteuid() != 0:
        return "a separate root file system needs root"
    if missing := [tool for tool in ("unshare", "nsenter", "setpriv", "useradd") if not shutil.which(tool)]:
        return f"{missing[0]} is not installed"
    if "overlay" not in Path("/proc/filesystems").read_text(encoding="ascii").split():
        return "this kernel has no overlay file system"
    probe = ["unshare", "--mount", "--pid", "--fork", "true"]
    if subprocess.run(probe, check=False, capture_output=True).returncode != 0:  # noqa: S603 - fixed command
        return "namespaces cannot be created"
    return None if interpreter() else "there is no Python 3.11 with venv that every user can run"


@dataclass
class Container:
    """A gateway in a separate root file system.

    Attributes:
        process: The parent of the gateway.
    """

    process: Process

    @property
    def pid(self) -> int:
        """The gateway's process id on this machine, outside of its namespace."""
        [child] = self.children()
        return child

    def children(self) -> list[int]:
        """Return the process id of the gateway, or of the shell that runs the steps. Empty after its end."""
        try:
            pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        except OSError:
            pids = ""
        return [int(pid) for pid in pids.split()]

    async def base_url(self) -> str:
        """Wait until the gateway listens, and return its base URL."""
        assert self.process.stdout is not None
        async with asyncio.timeout(TIMEOUT):
            async for line in self.process.stdout:
                if b"OpenAI base URL" in line:
                    return line.split()[-1].decode().replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - read, not bound
        raise AssertionError("The gateway ended before it printed its URL. See steps.log")

    async def run(self, *command: str, **variables: str) -> tuple[int, str]:
        """Run a command in the gateway's namespaces, as its user. Return the exit code and the output."""
        prefix = ("nsenter", f"--target={self.pid}", "--mount", "--pid", "--root", "--wd", *_as_user(variables))
        process = await asyncio.create_subprocess_exec(*prefix, *command, stdout=PIPE, stderr=asyncio.subprocess.STDOUT)
        output, _ = await asyncio.wait_for(process.communicate(), TIMEOUT)
        assert process.returncode is not None
        return process.returncode, output.decode()


@asynccontextmanager
async def run_container(scratch: Path, *command: str, **variables: str) -> AsyncIterator[Container]:
    """Run the image's steps and its command, under the restrictions that docs/container.md recommends."""
    namespaces = ("unshare", "--mount", "--pid", "--fork", "--propagation", "private")
    script = ("sh", str(_CLEAN_ROOT), str(scratch), str(ROOT), str(interpreter()), str(USER), "--")
    gateway = (*_assignments(variables), *entrypoint(), *command)
    with (scratch / "steps.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*namespaces, *script, *gateway, stdout=PIPE, stderr=log)
    container = Container(process)
    try:
        yield container
    finally:
        for pid in container.children():
            os.kill(pid, signal.SIGKILL)  # the first process of its namespace: all others end with it
        await process.wait()


def _as_user(variables: dict[str, str]) -> tuple[str, ...]:
    """Return the start of a command line that runs a command as the gateway's user."""
    restrictions = (f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs", "--bounding-set=-all")
    return ("setpriv", *restrictions, "env", "-i", *_assignments(variables))


def _assignments(variables: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in (environment() | variables).items()]
