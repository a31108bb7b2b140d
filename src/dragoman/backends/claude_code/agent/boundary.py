"""The boundary around an agent: what its processes can see of this machine. Linux only, with bubblewrap.

All processes of an agent run in a file system of their own. It has the system's programs, read-only, and the agent's
directories. A list of secrets would never be complete, so everything else is absent: homes, other users' files, the
gateway's files, sockets of services. They also see no process but their own. The network is not restricted.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from dragoman.core.value_object import value_object

PROGRAM = "bwrap"

_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/etc", "/nix"),
    "/run/current-system",
)
"""What every agent can read: programs, libraries and their configuration."""

_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS")
_NAME_SERVERS = "/etc/resolv.conf"
"""Often a link to a file elsewhere."""

_ISOLATION = (
    *("--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
    *("--cap-drop", "ALL"),
)
_PUBLIC_FILE, _PUBLIC_DIRECTORY = 0o004, 0o005

_TRIAL_TIMEOUT = 20.0
_TRIAL = """
cat "$1/secret" 2>/dev/null && echo 'it reads a file outside'
for name in "$1/new" /usr/.dragoman-trial /etc/.dragoman-trial /.dragoman-trial; do
  (: > "$name") 2>/dev/null && { echo "it writes outside: $name"; rm -f "$name"; }
done
(: > "$2/new") 2>/dev/null || echo 'it cannot write in its own directory'
set -- /proc/[0-9]*
[ $# -le 4 ] || echo "it sees $# processes"
echo held
"""
"""Prints `held`, and before it a line for each fault. `$1`: a directory outside, `$2`: one inside."""


@value_object(kw_only=True)
class Mounts:
    """The paths of one agent.

    Attributes:
        directory: The working directory.
        writable: Directories that it may write in, as pairs of the real one and its path inside.
        files: Single files that it may write, at their own paths. Absent ones are left out.
        scratch: The directory that becomes `/tmp`.
        executable: The program to run. Read-only.
    """

    directory: Path
    writable: Sequence[tuple[Path, Path]]
    scratch: Path
    executable: Path
    files: Sequence[Path] = ()


@value_object(kw_only=True)
class Boundary:
    """The boundary around every agent of a gateway.

    Attributes:
        readable: Further paths that agents can read, for example tools in a home. Real paths.
        hidden: Files and directories that agents never see, also below paths that they can read. Real paths.
    """

    readable: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()

    def prefix(self, mounts: Mounts, environment: Mapping[str, str]) -> list[str]:
        """Return the command line that a command is appended to. Blocks: it looks up paths.

        Args:
            mounts: The agent's own paths.
            environment: The environment of the command, for the certificates that it names.
        """
        readable = [*_certificates(environment), *self.readable]
        executable = mounts.executable
        masked = [(path, path.is_dir()) for path in self._masked()]
        return [
            shutil.which(PROGRAM) or PROGRAM,
            *_ISOLATION,
            *_system(),
            *("--proc", "/proc", "--dev", "/dev"),
            *("--bind", str(mounts.scratch), "/tmp", "--symlink", "/tmp", "/var/tmp"),  # noqa: S108 - of the agent alone
            *(part for path in readable for part in ("--ro-bind-try", str(path), str(path))),
            *(part for path, is_dir in masked for part in _mask(path, is_dir=is_dir)),
            *(part for real, inside in mounts.writable for part in ("--bind", str(real), str(inside))),
            *(part for path in mounts.files for part in ("--bind-try", str(path), str(path))),
            # After the directories: an agent must not change the program that the next one runs.
            *("--ro-bind", os.path.realpath(executable), str(executable)),
            # Last: the paths above may be below those that are hidden.
            *(part for path, is_dir in masked if is_dir for part in ("--remount-ro", str(path))),
            *("--remount-ro", "/", "--chdir", str(mounts.directory), "--"),
        ]

    def find_problem(self, command: Sequence[str] = ()) -> str | None:
        """Try the boundary: read and write outside, and look for other processes. Blocks for some 50 ms.

        Args:
            command: A program and its arguments that must also succeed inside.

        Returns:
            Why agents cannot run in a boundary; None if they can.
        """
        if sys.platform != "linux":
            return "this system has none: it needs Linux"
        if shutil.which(PROGRAM) is None:
            return "bubblewrap is not installed (the package `bubblewrap` of the distribution)"
        with TemporaryDirectory(prefix="dragoman-boundary-", ignore_cleanup_errors=True) as folder:
            inside, outside, scratch = (Path(folder, name) for name in ("inside", "outside", "scratch"))
            for path in (inside, outside, scratch):
                path.mkdir()
            (outside / "secret").write_text("it sees the text of a file outside\n", encoding="utf-8")
            mounts = Mounts(
                directory=inside,
                writable=((inside, inside),),
                scratch=scratch,
                executable=Path(command[0] if command else "/bin/sh"),
            )
            prefix = self.prefix(mounts, os.environ)
            trial = ["/bin/sh", "-c", _TRIAL, "trial", str(outside), str(inside)]
            problem = _run(prefix + trial, lambda output: None if output == "held" else output)
            if problem or not command:
                return problem
            return _run([*prefix, *command], lambda output: None if output else "Claude Code printed nothing in it")

    def _masked(self) -> Iterator[Path]:
        """Yield what must be hidden below the paths that are readable."""
        shown = [Path(os.path.realpath(path)) for path in _SYSTEM] + list(self.readable)
        for path in self.hidden:
            if any(path.is_relative_to(parent) for parent in shown) and path.exists():
                yield path
        yield from _private_paths(Path("/etc"))


def has_mounted(pid: int, directories: Iterable[Path]) -> bool:
    """Return whether a boundary has the directories that the rules allowed. Blocks.

    A link that another agent puts in place of a directory just before the start could lead elsewhere.

    Args:
        pid: The process of bubblewrap.
        directories: Real paths, as they were checked.
    """
    children = psutil.Process(pid).children()
    return bool(children) and all(
        _identity(path, real=True) == _identity(Path(f"/proc/{children[0].pid}/root{path}")) for path in directories
    )


def _identity(path: Path, *, real: bool = False) -> tuple[int, int] | None:
    """Return device and inode of a directory. With `real`, return None if a link leads there."""
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY)
    try:
        if real and os.readlink(f"/proc/self/fd/{descriptor}") != str(path):  # noqa: PTH115 - not a path of a file
            return None
        status = os.fstat(descriptor)
        return status.st_dev, status.st_ino
    finally:
        os.close(descriptor)


def _system() -> Iterator[str]:
    for path in _SYSTEM:
        if os.path.islink(path):  # noqa: PTH114 - these are strings throughout
            yield from ("--symlink", os.readlink(path), path)  # noqa: PTH115 - the same
        elif os.path.exists(path):  # noqa: PTH110 - the same
            yield from ("--ro-bind", path, path)
    real = os.path.realpath(_NAME_SERVERS)
    if real != _NAME_SERVERS:
        yield from ("--ro-bind-try", real, real)


def _certificates(environment: Mapping[str, str]) -> Iterator[Path]:
    return (Path(environment[name]) for name in _CERTIFICATES if environment.get(name, "").startswith("/"))


def _mask(path: Path, *, is_dir: bool) -> tuple[str, ...]:
    return ("--tmpfs", str(path)) if is_dir else ("--ro-bind", os.devnull, str(path))


def _private_paths(folder: Path) -> Iterator[Path]:
    """Yield what the gateway's user can read below a directory, and not every user."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink() or not os.access(entry.path, os.R_OK):
                continue
            is_directory = entry.is_dir()
            public = _PUBLIC_DIRECTORY if is_directory else _PUBLIC_FILE
            if entry.stat().st_mode & public != public:
                yield Path(entry.path)
            elif is_directory:
                yield from _private_paths(Path(entry.path))


def _run(command: Sequence[str], judge: Callable[[str], str | None]) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - bubblewrap
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TRIAL_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{PROGRAM} cannot be run: {error}"
    if done.returncode:
        return done.stderr.decode(errors="replace").strip() or f"{PROGRAM} ended with status {done.returncode}"
    return judge(done.stdout.decode(errors="replace").strip())
