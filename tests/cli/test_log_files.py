"""Log files: their mode, and their rotation."""

import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from dragoman.cli.log_output.files import LogFile

LINE = b"0123456789"


def sizes(folder: Path) -> dict[str, int]:
    """Return the sizes of the files in a folder."""
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def test_mode(tmp_path: Path) -> None:
    """Log files and rotated files are readable by their owner only. An existing mode stays."""
    (tmp_path / "shared").touch(mode=0o640)
    for name in ("log", "shared"):
        LogFile(tmp_path / name, limit=5, keep=1).write(LINE)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"log": 0o600, "log.1": 0o600, "shared": 0o600, "shared.1": 0o640}


def test_rotation(tmp_path: Path) -> None:
    """A full file is rotated. The configured number of files is kept, the newest as number 1. No line is torn."""
    log = LogFile(tmp_path / "log", limit=20, keep=2)
    for number in range(9):
        log.write(str(number).encode() * 10)
    assert sizes(tmp_path) == {"log": 11, "log.1": 22, "log.2": 22}
    assert (tmp_path / "log.1").read_text().split() == ["6" * 10, "7" * 10]
    assert (tmp_path / "log").read_text().split() == ["8" * 10]


def test_without_rotation(tmp_path: Path) -> None:
    """Without a limit the file grows. With `keep=0` a full file is replaced by an empty one."""
    endless, forgetful = LogFile(tmp_path / "endless", limit=0, keep=2), LogFile(tmp_path / "short", limit=20, keep=0)
    for _ in range(5):
        endless.write(LINE)
        forgetful.write(LINE)
    assert sizes(tmp_path) == {"endless": 55, "short": 11}


def test_existing_file(tmp_path: Path) -> None:
    """The content of an existing file counts towards the limit."""
    (tmp_path / "log").write_bytes(b"x" * 15 + b"\n")
    LogFile(tmp_path / "log", limit=20, keep=1).write(LINE)
    assert sizes(tmp_path) == {"log": 0, "log.1": 27}


def test_after_a_crash(tmp_path: Path) -> None:
    """A crash between two renames leaves a gap, which the next rotation fills."""
    (tmp_path / "log.2").write_bytes(b"old\n")
    (tmp_path / "log").write_bytes(b"x" * 30)
    LogFile(tmp_path / "log", limit=20, keep=3).write(LINE)
    assert sizes(tmp_path) == {"log": 0, "log.1": 41, "log.3": 4}


def test_two_writers(tmp_path: Path) -> None:
    """When another process rotates or truncates the file, the writer continues with the new one. No line is lost."""
    one, two = LogFile(tmp_path / "log", limit=30, keep=3), LogFile(tmp_path / "log", limit=30, keep=3)
    one.write(LINE * 3)
    two.write(LINE * 3)
    assert sizes(tmp_path) == {"log": 0, "log.1": 62}
    one.write(LINE)
    (tmp_path / "log").write_bytes(b"")
    one.write(LINE * 3)
    assert sum(sizes(tmp_path).values()) == 62 + 31


def test_moved_away(tmp_path: Path) -> None:
    """A removed file is created again at the next rotation."""
    log = LogFile(tmp_path / "log", limit=20, keep=1)
    log.write(LINE)
    (tmp_path / "log").unlink()
    log.write(LINE)
    log.write(LINE)
    assert sizes(tmp_path) == {"log": 11}


def test_pipe(tmp_path: Path) -> None:
    """A pipe or a terminal is never rotated."""
    ours, theirs = os.pipe()
    try:
        log = LogFile(Path(f"/dev/fd/{theirs}"), limit=1, keep=1)
        log.write(LINE)
        log.write(LINE)
        assert os.read(ours, 100) == (LINE + b"\n") * 2
    finally:
        os.close(ours)
        os.close(theirs)
    assert sizes(tmp_path) == {}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk(capsys: pytest.CaptureFixture[str]) -> None:
    """A full disk raises nothing and is reported once."""
    log = LogFile(Path("/dev/full"), limit=0, keep=0)
    log.write(LINE)
    log.write(LINE)
    output = capsys.readouterr().err
    assert output.count("cannot be written to /dev/full: No space left") == 1


WRITER = """
import sys
import threading
from pathlib import Path
from dragoman.cli.log_output.files import LogFile

log = LogFile(Path("log"), limit=4000, keep=300)

def write(thread):
    for number in range(500):
        log.write(f"{sys.argv[1]}.{thread}.{number} {'x' * (number % 50)}".encode())

threads = [threading.Thread(target=write, args=[thread]) for thread in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_many_writers(tmp_path: Path) -> None:
    """Threads and processes write and rotate concurrently. No line is lost or torn, and no small file is rotated."""
    command = [sys.executable, "-c", WRITER]
    processes = [subprocess.Popen([*command, str(number)], cwd=tmp_path, stderr=PIPE) for number in range(3)]  # noqa: S603 - ours
    output = [process.communicate()[1] for process in processes]
    assert output == [b""] * 3
    lines = [line.split(" ") for path in tmp_path.iterdir() for line in path.read_text().splitlines()]
    assert all(fill == "x" * (int(name.rpartition(".")[2]) % 50) for name, fill in lines)
    names = {f"{process}.{thread}.{number}" for process in range(3) for thread in range(4) for number in range(500)}
    assert sorted(name for name, _ in lines) == sorted(names)
    assert all(size >= 4000 for name, size in sizes(tmp_path).items() if name != "log")


def test_partial_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After a line that a full disk cut, the next line starts on a line of its own."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = LogFile(tmp_path / "log", limit=0, keep=0)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (15, before[1]))
        log.write(LINE)
        log.write(LINE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    log.write(LINE)
    assert (tmp_path / "log").read_bytes().split() == [LINE, LINE[:4], LINE]
    assert capsys.readouterr().err.count("Lines may be lost") == 1


def test_folder_without_access(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If the new file cannot be created, lines are still written to the old one, and never to an unrelated file."""
    folder = tmp_path / "logs"
    folder.mkdir()
    log = LogFile(folder / "log", limit=20, keep=1)
    (folder / "log").rename(tmp_path / "moved")
    folder.rmdir()
    log.write(LINE * 2)
    with (tmp_path / "other").open("wb"):
        log.write(LINE)
    assert sizes(tmp_path) == {"moved": 32, "other": 0}
    assert "Lines may be lost" in capsys.readouterr().err
