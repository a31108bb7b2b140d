"""`dragoman logs`."""

import asyncio
import json
import os
import signal
from pathlib import Path

import httpx
from behind import behind
from commands import PATIENCE, line, run, started


def written(event: str, **facts: object) -> str:
    """A line as the gateway writes it."""
    return json.dumps({**facts, "event": event, "level": "info", "time": "2026-01-02T03:04:05.678Z"}) + "\n"


async def test_of_a_gateway_in_the_background(tmp_path: Path) -> None:
    """It finds the log, shows it for people or as it is, and goes on as it is written."""
    async with behind(tmp_path, "--simulate") as gateway, httpx.AsyncClient(base_url=gateway.url) as http:
        await http.get("/v1/models", headers={"x-request-id": "first"})
        shown = await run(tmp_path, "logs")
        raw = await run(tmp_path, "logs", "--json", "-n", "1")
        async with started(tmp_path, "logs", "--follow", "-n", "1") as following:
            assert "request=first" in await line(following, "http.request")
            await http.get("/v1/models", headers={"x-request-id": "second"})
            assert "status=200" in await line(following, "request=second")
    assert "http.request" in shown.out
    assert json.loads(raw.out)["request"] == "first"


async def test_following_a_log_that_rotates(tmp_path: Path) -> None:
    """The new file is read on where the old one was put aside, and what is no JSON is shown as it is."""
    log = tmp_path / "log"
    log.write_text("Traceback of something\n" + written("old"))
    async with started(tmp_path, "logs", "-f", "--log-file", str(log)) as following:
        await line(following, "Traceback of something")
        await line(following, "old")
        log.rename(tmp_path / "log.1")
        log.write_text(written("new", exception="Trace\nback"))
        assert await line(following, "new") == "2026-01-02 03:04:05 info    new"
        await line(following, "back")
        log.write_text(written("cut"))
        await line(following, "cut")


async def test_in_a_terminal(tmp_path: Path) -> None:
    """It is coloured there, and Ctrl-C ends it well."""
    log = tmp_path / "log"
    log.write_text(written("said"))
    ours, theirs = os.openpty()
    try:
        async with started(tmp_path, "logs", "-f", "--log-file", str(log), stdout=theirs) as following:
            shown = await asyncio.to_thread(os.read, ours, 10_000)
            following.send_signal(signal.SIGINT)
            _, err = await asyncio.wait_for(following.communicate(), PATIENCE)
    finally:
        os.close(ours)
        os.close(theirs)
    assert b"\x1b[32minfo" in shown
    assert (following.returncode, err) == (0, b"")


async def test_where_there_is_none(tmp_path: Path) -> None:
    """It says how to have one."""
    assert "--background" in (await run(tmp_path, "logs")).err
    async with started(tmp_path, "serve", "--simulate", "-p", "0", "-m", "--spares", "0") as process:
        await line(process, "http")
        ended = await run(tmp_path, "logs")
    assert ended.code == 1
    assert "logs to its terminal" in ended.err
    assert "cannot be read" in (await run(tmp_path, "logs", "--log-file", "gone")).err
