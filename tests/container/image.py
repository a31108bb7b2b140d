"""What the Dockerfile says of the image, and a root in which its steps are taken without a container engine."""

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
USER = 10001
"""The account in there, whose number is nobody's here."""

_CLEAN_ROOT = Path(__file__).with_name("clean_root.sh")
_PYTHONS = ("/usr/local/bin/python3", "/usr/bin/python3")
"""Where an interpreter may stand that any user can run."""
_ENOUGH = "import sys, ensurepip; sys.exit(sys.version_info < (3, 11))"


def said(word: str) -> list[str]:
    """The arguments of every such instruction of the Dockerfile's last stage."""
    _, _, last = (ROOT / "Dockerfile").read_text(encoding="utf-8").rpartition("\nFROM ")
    lines = last.replace("\\\n", " ").splitlines()
    return [line.partition(" ")[2].strip() for line in lines if line.startswith(f"{word} ")]


def environment() -> dict[str, str]:
    """The variables that the image sets."""
    return dict(line.split("=", 1) for line in said("ENV"))


def entrypoint() -> list[str]:
    """The command that the image runs, without what may be given instead of `serve`."""
    command: list[str] = json.loads(said("ENTRYPOINT")[0])
    return command


def interpreter() -> str | None:
    """A Python that is new enough, for every user of this machine."""
    fits = (
        path
        for path in _PYTHONS
        if Path(path).exists()
        and subprocess.run([path, "-c", _ENOUGH], check=False, capture_output=True).returncode == 0  # noqa: S603 - ours
    )
    return next(fits, None)


def obstacle() -> str | None:
    """Why this machine cannot stand in for a container engine, if it cannot."""
    if os.geteuid() != 0:
        return "making a root of one's own takes root"
    if missing := [tool for tool in ("unshare", "nsenter", "setpriv", "useradd") if not shutil.which(tool)]:
        return f"there is no {missing[0]} here"
    if "overlay" not in Path("/proc/filesystems").read_text(encoding="ascii").split():
        return "this kernel has no overlay file system"
    probe = ["unshare", "--mount", "--pid", "--fork", "true"]
    if subprocess.run(probe, check=False, capture_output=True).returncode != 0:  # noqa: S603 - fixed words
        return "namespaces cannot be made here"
    return None if interpreter() else "there is no Python 3.11 with venv that every user can run"


@dataclass
class Container:
    """A gateway in a root of its own.

    Attributes:
        process: What was started here; the gateway is its child.
    """

    process: Process

    @property
    def pid(self) -> int:
        """The gateway's process id, as it is known out here."""
        [child] = self.children()
        return child

    def children(self) -> list[int]:
        """The gateway, or the shell that takes the steps; nothing once it is over."""
        try:
            found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        except OSError:
            found = ""
        return [int(pid) for pid in found.split()]

    async def address(self) -> str:
        """Where it listens, once it does."""
        assert self.process.stdout is not None
        async with asyncio.timeout(TIMEOUT):
            async for said in self.process.stdout:
                if b"OpenAI base URL" in said:
                    return said.split()[-1].decode().replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - read
        raise AssertionError("It ended without an address; steps.log tells why")

    async def run(self, *command: str, **variables: str) -> tuple[int, str]:
        """Run a command beside the gateway, as its user; its exit code, and what it printed."""
        inside = ("nsenter", f"--target={self.pid}", "--mount", "--pid", "--root", "--wd", *_as_user(variables))
        process = await asyncio.create_subprocess_exec(*inside, *command, stdout=PIPE, stderr=asyncio.subprocess.STDOUT)
        out, _ = await asyncio.wait_for(process.communicate(), TIMEOUT)
        assert process.returncode is not None
        return process.returncode, out.decode()


@asynccontextmanager
async def container(scratch: Path, *command: str, **variables: str) -> AsyncIterator[Container]:
    """Take the image's steps and run its command, under the restrictions that docs/container.md recommends."""
    namespaces = ("unshare", "--mount", "--pid", "--fork", "--propagation", "private")
    root = ("sh", str(_CLEAN_ROOT), str(scratch), str(ROOT), str(interpreter()), str(USER), "--")
    given = (*_assignments(variables), *entrypoint(), *command)
    with (scratch / "steps.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*namespaces, *root, *given, stdout=PIPE, stderr=log)
    made = Container(process)
    try:
        yield made
    finally:
        for pid in made.children():
            os.kill(pid, signal.SIGKILL)  # the first process of its namespace: the others go with it
        await process.wait()


def _as_user(variables: dict[str, str]) -> tuple[str, ...]:
    account = (f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs", "--bounding-set=-all")
    return ("setpriv", *account, "env", "-i", *_assignments(variables))


def _assignments(variables: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in (environment() | variables).items()]
