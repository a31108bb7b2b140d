"""The outbox of a ledger: a file to which a process appends what its runs have used, before it is in the ledger.

An append to a file survives the end of the process, and costs a few microseconds; a transaction for each run would
cost a hundred. The rows of the file are added to the ledger in batches. When a process was killed, another one adds
the rows that it has left: rows that are in the ledger already change nothing.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from dragoman.core import log
from dragoman.core.process_identity import ProcessIdentity
from dragoman.stores.ledger import LedgerRow

_MAX_BYTES = 256 * 1024
"""Size above which the file is written again with the rows that are still needed."""
_SUFFIX = ".jsonl"


class Outbox:
    """The file of one worker. Rows of the same run replace each other. It is created with its first row.

    Every error is logged and not raised: the rows are also in memory, and only a crash would lose them.

    Args:
        directory: The directory of all outboxes; None: nothing is written.
        worker: The worker's name; see `worker_name`.
    """

    def __init__(self, directory: Path | None, worker: str) -> None:
        self._path = directory / f"{worker}{_SUFFIX}" if directory else None
        self._file: int | None = None
        self._size = 0
        self._encode = msgspec.json.Encoder().encode
        self._has_failed = False

    def write(self, row: LedgerRow) -> None:
        """Append a row. It survives the end of the process when this returns."""
        if self._path is None:
            return
        line = self._encode(row) + b"\n"
        try:
            if self._file is None:
                self._file = _create(self._path)
            self._size += os.write(self._file, line)
        except OSError as error:
            if not self._has_failed:
                log.warning("ledger.outbox_broke", path=str(self._path), error=str(error))
            self._has_failed = True

    def shrink(self, needed: Callable[[], Iterable[LedgerRow]]) -> None:
        """Write the file again if it is large, with the rows that are not in the ledger yet."""
        if self._size < _MAX_BYTES or self._file is None or self._path is None:
            return
        other = self._path.with_suffix(".new")
        lines = b"".join(self._encode(row) + b"\n" for row in needed())
        try:
            with suppress(FileNotFoundError):
                other.unlink()
            file = _create(other)
            os.write(file, lines)
            other.replace(self._path)
        except OSError as error:
            log.warning("ledger.outbox_broke", path=str(self._path), error=str(error))
            return
        os.close(self._file)
        self._file, self._size, self._has_failed = file, len(lines), False

    def close(self, *, keep: bool) -> None:
        """Close the file, and delete it unless it is still needed. Idempotent."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            if not keep and self._path:
                self._path.unlink(missing_ok=True)


def worker_name(process: str | None = None) -> str:
    """Return a new name for a worker of this process, given the name of the process if it contains that of its node."""
    return f"{process or ProcessIdentity.current()}-{os.urandom(3).hex()}"


def node_of(worker: str) -> str:
    """Return the name of the node in the name of a worker."""
    return worker.rpartition("~")[0]


def is_gone(worker: str) -> bool:
    """Return whether the process of a worker of this node has ended."""
    try:
        return ProcessIdentity.parse(worker.rpartition("~")[2].rpartition("-")[0]).process() is None
    except ValueError:
        return True


def read_left_behind(directory: Path, gone: Callable[[str], bool] = is_gone) -> Mapping[str, list[LedgerRow]]:
    """Return the rows of every outbox whose worker is gone, by worker."""
    try:
        paths = sorted(directory.glob(f"*{_SUFFIX}"))
    except OSError:
        return {}
    return {path.stem: list(_rows(path)) for path in paths if gone(path.stem)}


def delete_outbox(directory: Path, worker: str) -> None:
    """Delete the outbox of a worker whose rows are in the ledger."""
    (directory / f"{worker}{_SUFFIX}").unlink(missing_ok=True)


def _create(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)


def _rows(path: Path) -> Iterator[LedgerRow]:
    """Yield the last row of each run. A line that the end of its process cut off is left out."""
    rows: dict[str, LedgerRow] = {}
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        log.warning("ledger.outbox_broke", path=str(path), error=str(error))
        return
    for line in lines:
        with suppress(msgspec.DecodeError):
            row = msgspec.json.decode(line, type=LedgerRow)
            rows[row.run] = row
    yield from rows.values()
