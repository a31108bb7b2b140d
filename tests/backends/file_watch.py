"""File operations by thread: a backend must not work on files in the event loop's thread."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FILE_EVENTS = frozenset(
    {"glob.glob", "open", "os.listdir", "os.mkdir", "os.remove", "os.rmdir", "os.scandir", "shutil.rmtree"}
)


@contextmanager
def file_operations(folder: Path) -> Iterator[list[str]]:
    """Collect the file operations of the current thread below a folder, by Python's audit events."""
    thread = threading.get_ident()
    operations: list[str] = []
    active = True

    def on_event(event: str, arguments: tuple[object, ...]) -> None:
        if active and event in _FILE_EVENTS and threading.get_ident() == thread:
            path = arguments[0]
            if isinstance(path, str | os.PathLike) and str(path).startswith(str(folder)):
                operations.append(f"{event} {path}")

    sys.addaudithook(on_event)  # cannot be removed, so it is made inactive
    try:
        yield operations
    finally:
        active = False
