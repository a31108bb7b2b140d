"""A separate container engine for a test: podman, with its own images, settings and network."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import base_image
from image import ROOT

TIMEOUT = 900
"""Seconds for one command."""

IMAGE = "localhost/dragoman"

_BASE_IMAGE = "localhost/base"
_TOOLS = (
    "podman",
    "runc",
    "catatonit",
    "apt-cache",
    "dpkg-query",
    "tar",
    "iptables",
    "ip",
    "nsenter",
    "unshare",
    "curl",
)
_PACKAGE_INDEX_FILES = ("/etc/ssl/certs", "/etc/pip.conf")
"""This machine's access to a package index. Mounted during the build, and not part of the image."""

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


def skip_reason() -> str | None:
    """Return why this machine cannot run containers, or None if it can."""
    if os.geteuid() != 0:
        return "a separate container engine needs root"
    paths = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/libexec/podman"])
    missing = [tool for tool in _TOOLS if not shutil.which(tool, path=paths)]
    return f"{missing[0]} is not installed" if missing else base_image.skip_reason()


@dataclass(frozen=True)
class Engine:
    """Podman with its own settings.

    Attributes:
        folder: Its images, settings and other files.
        network_pid: The process that owns its network namespace, so that it changes no bridge or rule of this machine.
    """

    folder: Path
    network_pid: int

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Run a podman command that must end with this exit code. Return its output."""
        return self.run("podman", *arguments, code=code)

    def run(self, *command: str, code: int = 0) -> str:
        """Run a command in the engine's network. It must end with this exit code. Return its output."""
        return self._run("nsenter", f"--net=/proc/{self.network_pid}/ns/net", *command, code=code)

    def _run(self, *command: str, code: int = 0) -> str:
        config_files = {
            "CONTAINERS_CONF": str(self.folder / "settings.toml"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.toml"),
        }
        completed = subprocess.run(  # noqa: S603 - fixed commands
            command,
            check=False,
            cwd=self.folder,
            env=os.environ | config_files,
            timeout=TIMEOUT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert completed.returncode == code, f"{command}: {completed.stdout[-3000:]}"
        return completed.stdout

    def build(self, user: int) -> None:
        """Build the image from its Dockerfile, on a new base image, for this user id."""
        self._build_base()
        mounts = (f"--volume={path}:{path}:ro" for path in _PACKAGE_INDEX_FILES if Path(path).exists())
        values = (f"BASE={_BASE_IMAGE}", f"USER_ID={user}", f"GROUP_ID={user}")
        build_args = (f"--build-arg={value}" for value in values)
        options = ("--network=host", "--format=docker", "--layers=false", f"--tag={IMAGE}")
        self._run("podman", "build", *options, *mounts, *build_args, str(ROOT))

    def _build_base(self) -> None:
        """Build the base image: Debian with Python, like the Dockerfile's base image."""
        archive = self.folder / "base.tar"
        base_image.write(archive)
        self("import", str(archive), _BASE_IMAGE)


@contextmanager
def open_engine(folder: Path) -> Iterator[Engine]:
    """Open an engine. At the end, remove its containers, volumes, images and large files."""
    (folder / "settings.toml").write_text(_SETTINGS.format(folder=folder))
    (folder / "storage.toml").write_text(_STORAGE.format(folder=folder))
    with _network() as network_pid:
        engine = Engine(folder, network_pid)
        try:
            yield engine
        finally:
            engine("rm", "--all", "--force", "--time=0")
            engine("volume", "prune", "--force")
            engine("rmi", "--all", "--force")
            for name in ("base.tar", "images"):
                path = folder / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@contextmanager
def _network() -> Iterator[int]:
    """Create a network namespace with only a loopback interface. Yield the id of the process that owns it."""
    command = ("unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec cat")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603 - fixed command
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process.pid
        # `Popen` closes the input. That ends the process, and with its last process the namespace ends.
