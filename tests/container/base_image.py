"""A base image: Debian with Python, made of the packages that are installed on this machine.

Nothing is downloaded, and no package is configured again: with a package manager, this took a third of the test's time.
"""

import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

_PACKAGES = ("python3-venv", "ca-certificates", "passwd")
"""The packages that the image's build steps need, beyond Debian's essential ones."""

_IGNORED = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
"""Relations between packages that are no dependencies."""

_WITHOUT = tuple(f"/usr/share/{name}/" for name in ("doc", "locale", "man"))
_ACCOUNTS = Path("/usr/share/base-passwd")
"""The accounts of a new Debian: those of this machine are not copied."""


def skip_reason() -> str | None:
    """Return why this machine has no files for a base image, or None if it has them."""
    query = ("dpkg-query", "--show", *_PACKAGES)
    missing = subprocess.run(query, check=False, capture_output=True).returncode != 0  # noqa: S603 - fixed command
    return f"one of Debian's packages {', '.join(_PACKAGES)} is not installed" if missing else None


def write(archive: Path) -> None:
    """Write the base image's files to a tar archive."""
    with tarfile.open(archive, "w") as tar:
        for path in sorted(set(_files())):
            tar.add(path, recursive=False)
        for name in ("passwd", "group"):
            tar.add(_ACCOUNTS / f"{name}.master", f"etc/{name}")


def _files() -> Iterator[Path]:
    """Yield the files and directories of the packages, and the bytecode of their modules."""
    for line in _lines("dpkg-query", "--listfiles", *_packages()):
        path = Path(line)
        if not path.is_absolute() or line.startswith(_WITHOUT):
            continue
        path = path.parent.resolve() / path.name  # `/bin` and others are links
        if path.exists() or path.is_symlink():
            yield path
        if path.suffix == ".py":
            yield from (path.parent / "__pycache__").glob(f"{path.stem}.cpython-*.pyc")


def _packages() -> list[str]:
    """Return the essential packages, those that the build steps need, and the dependencies of both."""
    status = (
        line.split() for line in _lines("dpkg-query", "--show", "--showformat=${Status} ${Package} ${Essential}\n")
    )
    installed = {name: essential == "yes" for _, _, state, name, essential in status if state == "installed"}
    essential = (name for name, is_essential in installed.items() if is_essential)
    options = ("--recurse", "--installed", *(f"--no-{name}" for name in _IGNORED))
    return sorted(installed.keys() & _lines("apt-cache", "depends", *options, *_PACKAGES, *essential))


def _lines(*command: str) -> list[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()  # noqa: S603 - fixed
