"""`dragoman logs`: show a log, and follow it."""

import asyncio
import json
import os
from pathlib import Path, PosixPath

import httpx
from background_gateway import background_gateway
from commands import TIMEOUT, line, run, started
from terminals import INTERRUPT, terminal

from dragoman.cli.commands.logs import LineFilter, read_lines

LEVELS = ("debug", "info", "warning", "error")


def log_line(event: str, **fields: object) -> str:
    """Return a line in the gateway's format."""
    return json.dumps({**fields, "event": event, "level": "info", "time": "2026-01-02T03:04:05.678Z"}) + "\n"


class RotatedAtStat(PosixPath):
    """A path whose file gets one more line and is rotated just before the first `stat` returns."""

    is_rotated = False

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return the status of the new file."""
        if not RotatedAtStat.is_rotated:
            RotatedAtStat.is_rotated = True
            with self.open("a") as file:
                file.write("last of the old file\n")
            self.rename(f"{self}.1")
            self.write_text("first of the new file\n")
        return super().stat(follow_symlinks=follow_symlinks)


async def test_gateway_in_the_background(tmp_path: Path) -> None:
    """The command finds the log, prints it as text or as JSON, and follows it."""
    async with (
        background_gateway(tmp_path, "--simulate") as gateway,
        httpx.AsyncClient(base_url=gateway.url, timeout=TIMEOUT) as http,
    ):
        await http.get("/v1/models", headers={"x-request-id": "first"})
        async with started(tmp_path, "logs", "--follow", "-n", "1") as following:
            assert "http.request" in await line(following, "request=first")
            shown = await run(tmp_path, "logs")
            raw = await run(tmp_path, "logs", "--json", "-n", "1")
            await http.get("/v1/models", headers={"x-request-id": "second"})
            assert "status=200" in await line(following, "request=second")
    assert "http.request" in shown.out
    assert json.loads(raw.out)["request"] == "first"


def test_filters() -> None:
    """Lines are chosen by level and by time. What is no event has neither."""
    levels = [json.dumps({"event": "e", "level": level, "time": "2026-01-02T03:04:05.6Z"}) for level in LEVELS]
    warnings, plain = LineFilter(rank=3), b"Traceback of something"
    assert [warnings.accepts(line.encode()) for line in levels] == [False, False, True, True]
    assert LineFilter(since="2026-01-02T03:04:05.0Z", until="2026-01-02T03:05").accepts(levels[0].encode())
    assert not LineFilter(since="2026-01-02T03:05").accepts(levels[3].encode())
    assert not LineFilter(until="2026-01-02T03:04").accepts(levels[3].encode())
    assert (LineFilter().accepts(plain), warnings.accepts(plain), LineFilter(since="1").accepts(plain)) == (1, 1, 0)


async def test_last_failures(tmp_path: Path) -> None:
    """Filters apply before the number of lines. A wrong time is an error."""
    lines = [json.loads(log_line(f"event{number}")) | {"level": LEVELS[number % 4]} for number in range(8)]
    (tmp_path / "log").write_text("".join(json.dumps(line) + "\n" for line in lines))
    shown = await run(tmp_path, "logs", "--log-file", "log", "--level", "warning", "-n", "3")
    none = await run(tmp_path, "logs", "--log-file", "log", "--since", "1h")
    wrong = await run(tmp_path, "logs", "--log-file", "log", "--since", "soon")
    assert [line.split()[3] for line in shown.out.splitlines()] == ["event3", "event6", "event7"]
    assert (none.out, wrong.code) == ("", 1)
    assert "`soon` is not a time: write `15m`" in wrong.err


async def test_follow_a_rotated_log(tmp_path: Path) -> None:
    """Following continues with the new file after a rotation or a truncation. Lines that are not JSON stay as is."""
    log = tmp_path / "log"
    log.write_text("Traceback of something\n" + log_line("old"))
    async with started(tmp_path, "logs", "-f", "--log-file", str(log)) as following:
        await line(following, "Traceback of something")
        await line(following, "old")
        log.rename(tmp_path / "log.1")
        log.write_text(log_line("new", exception="Trace\nback"))
        assert await line(following, "new") == "2026-01-02 03:04:05 info    new"
        await line(following, "back")
        log.write_text(log_line("cut"))
        await line(following, "cut")


def test_lines_just_before_a_rotation(tmp_path: Path) -> None:
    """A line that is written after the last read and before the rotation is not lost."""
    log = RotatedAtStat(tmp_path / "log")
    log.write_text("first of the old file\n")
    lines = read_lines(log, 10, follow=True)
    assert [next(lines) for _ in range(3)] == [
        b"first of the old file\n",
        b"last of the old file\n",
        b"first of the new file\n",
    ]


async def test_follow_a_removed_log(tmp_path: Path) -> None:
    """The command reports that the file is gone, and continues when there is a new one."""
    log = tmp_path / "log"
    log.write_text(log_line("old"))
    async with started(tmp_path, "logs", "-f", "--log-file", str(log)) as following:
        await line(following, "old")
        log.unlink()
        assert following.stderr is not None
        warning = await asyncio.wait_for(following.stderr.readline(), TIMEOUT)
        log.write_text(log_line("new"))
        await line(following, "new")
    assert warning.decode() == f"Warning: {log} was removed. Waiting for a new file.\n"


async def test_closed_pipe(tmp_path: Path) -> None:
    """A reader that closes the pipe, such as `head`, does not make the command report an unreadable log."""
    log = tmp_path / "log"
    log.write_text(log_line("event") * 1000)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        async with started(tmp_path, "logs", "-n", "1000", "--log-file", str(log), stdout=writer) as process:
            _, err = await asyncio.wait_for(process.communicate(), TIMEOUT)
    finally:
        os.close(writer)
    assert b"cannot be read" not in err
    assert b"Traceback" not in err


async def test_in_a_terminal(tmp_path: Path) -> None:
    """The log is coloured in a terminal, and Ctrl-C ends the command without an error."""
    log = tmp_path / "log"
    log.write_text(log_line("event"))
    async with terminal(tmp_path, "logs", "-f", "--log-file", str(log)) as following:
        await following.until("event\n")
        following.type(INTERRUPT)
        assert await following.code() == 0
    assert "\x1b[32minfo" in following.shown
    assert following.plain == "2026-01-02 03:04:05 info    event\n^C"  # the terminal prints ^C


async def test_without_a_log(tmp_path: Path) -> None:
    """The error says how to get a log file."""
    assert "--background" in (await run(tmp_path, "logs")).err
    async with started(tmp_path, "serve", "--simulate", "-p", "0", "-m", "--spares", "0") as process:
        await line(process, "http")
        ended = await run(tmp_path, "logs")
    assert ended.code == 1
    assert "logs to its terminal" in ended.err
    assert "cannot be read" in (await run(tmp_path, "logs", "--log-file", "gone")).err
