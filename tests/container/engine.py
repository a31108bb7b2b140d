"""A container engine of the tests' own: podman, with its images, settings and networks in what goes with the test."""

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from image import ROOT

TIMEOUT = 900
IMAGE = "localhost/dragoman"

_BASE = "localhost/base"
_TOOLS = ("podman", "runc", "catatonit", "debootstrap", "iptables", "ip", "nsenter", "unshare", "curl")
_PACKAGES = "python3,python3-venv,ca-certificates"
_OF_THIS_MACHINE = ("/etc/ssl/certs", "/etc/pip.conf")
"""How this machine reaches a package index; the image is built with them and has nothing of them."""

_SETTINGS = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_config_dir = "{folder}/networks"
"""
_STORAGE = """
[storage]
driver = "overlay"
graphroot = "{folder}/images"
runroot = "{folder}/run"
"""


def obstacle() -> str | None:
    """Why no container can be run here, if none can."""
    if os.geteuid() != 0:
        return "an engine of one's own takes root"
    paths = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/libexec/podman"])
    missing = [tool for tool in _TOOLS if not shutil.which(tool, path=paths)]
    return f"there is no {missing[0]} here" if missing else None


@dataclass(frozen=True)
class Engine:
    """Podman.

    Attributes:
        folder: What it has lies here.
        network: The process whose network is its own, so that bridges and rules of this machine stay as they are.
    """

    folder: Path
    network: int

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Run a command of its; what it printed."""
        return self.run("podman", *arguments, code=code)

    def run(self, *command: str, code: int = 0) -> str:
        """Run a command in its network; what that printed."""
        return self._run("nsenter", f"--net=/proc/{self.network}/ns/net", *command, code=code)

    def _run(self, *command: str, code: int = 0) -> str:
        places = {
            "CONTAINERS_CONF": str(self.folder / "settings.toml"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.toml"),
        }
        ended = subprocess.run(  # noqa: S603 - our own words
            command,
            check=False,
            cwd=self.folder,
            env=os.environ | places,
            timeout=TIMEOUT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert ended.returncode == code, f"{command}: {ended.stdout[-3000:]}"
        return ended.stdout

    def build(self, user: int) -> None:
        """Build the image from its Dockerfile, on a base that is made here."""
        self._base()
        mounts = (f"--volume={path}:{path}:ro" for path in _OF_THIS_MACHINE if Path(path).exists())
        given = (f"BASE={_BASE}", f"USER_ID={user}", f"GROUP_ID={user}")
        arguments = (f"--build-arg={each}" for each in given)
        asked = ("--network=host", "--format=docker", "--layers=false", f"--tag={IMAGE}")
        self._run("podman", "build", *asked, *mounts, *arguments, str(ROOT))

    def _base(self) -> None:
        """Debian with Python alone, which is what the real base image is as well."""
        root = self.folder / "base"
        self._run("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(root))
        packed = self.folder / "base.tar"
        with tarfile.open(packed, "w") as file:
            file.add(root, arcname=".")
        self("import", str(packed), _BASE)


@contextmanager
def engine(folder: Path) -> Iterator[Engine]:
    """Have one for a while; nothing of it stays."""
    (folder / "settings.toml").write_text(_SETTINGS.format(folder=folder))
    (folder / "storage.toml").write_text(_STORAGE.format(folder=folder))
    with _network() as network:
        made = Engine(folder, network)
        try:
            yield made
        finally:
            made("rm", "--all", "--force", "--time=0")
            made("volume", "prune", "--force")
            made("rmi", "--all", "--force")
            for left in ("base", "base.tar", "images"):
                path = folder / left
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@contextmanager
def _network() -> Iterator[int]:
    """The process that holds a network with a loopback and nothing else."""
    command = ("unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec cat")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:  # noqa: S603 - our own words
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"up\n"
        yield holder.pid
        # With its input closed it ends, and with the last process its network.
