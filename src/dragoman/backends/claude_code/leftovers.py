"""Files of one run: named by the process that has them, so that those of a killed one are found."""

import os
import shutil
from pathlib import Path

import psutil


def named(folder: Path, run: str) -> Path:
    """Where a run of ours has its file or directory. The run's name is to be its own."""
    return folder / f"{os.getpid()}-{run}"


def remove_leftovers(folder: Path) -> None:
    """Remove what gateways left that were killed; of our own there is nothing yet."""
    for path in folder.glob("*-*"):
        owner = path.name.partition("-")[0]
        if owner.isdecimal() and (int(owner) == os.getpid() or not psutil.pid_exists(int(owner))):
            remove(path)


def remove(path: Path) -> None:
    """Remove a file or a directory, with all that is in it."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write(path: Path, text: str) -> None:
    """Write a new file, for the gateway's user alone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
