"""Errors of the commands that run for a long time: each one is reported, and none is a traceback."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path

import pytest
from api_harness import raw_server
from commands import environment, run

from dragoman.cli.commands.runs import changes
from dragoman.cli.serving.background import end_process

RUN_ID = "run_" + "0" * 32
HTML = b"HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b"event: message_start\ndata: {}\n\n"
NO_TERMINATE = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
signal.pause()
"""
LIBRARY = """
import logging
from dragoman.cli.log_output.setup import configure
from dragoman.config.loading import load

configure(load({}))
library = logging.getLogger("library")
library.log(35, "between two levels")
library.warning("%d entries", "many")
"""


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked response."""
    return b"%x\r\n%s\r\n" % (len(data), data)


@asynccontextmanager
async def server(response: bytes) -> AsyncIterator[str]:
    """Run a server that sends these bytes to every client and closes the connection. Yield its port."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response)
        await writer.drain()

    async with raw_server(respond) as url:
        yield url.rpartition(":")[2]


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (HTML, "another program listens there"),
        (STREAM + chunk(EVENT), "closed the connection before the run ended"),
        (STREAM + chunk(b"event: run\ndata: <html>\n\n") + chunk(b""), "The connection to the gateway at "),
        (STREAM + chunk(EVENT) + chunk(b""), "closed the connection before the run ended"),
    ],
    ids=["another program", "cut in the middle", "no JSON", "closed early"],
)
async def test_tail(tmp_path: Path, response: bytes, message: str) -> None:
    """A stream that is not a gateway's, or that ends too early, is an error with a clear message."""
    async with server(response) as port:
        ended = await run(tmp_path, "tail", RUN_ID, "--port", port)
    assert ended.code == 1
    assert message in ended.err
    assert "Traceback" not in ended.err


class ManyRuns:
    """More running runs than fit on one page of the admin API."""

    def __init__(self, count: int) -> None:
        self._runs = [{"id": f"run_{number}", "status": "running", "ended": None} for number in range(count)]

    def page(self, **filters: object) -> dict[str, object]:
        """Return the page that follows the run `after`."""
        ids = [run["id"] for run in self._runs]
        first = ids.index(str(filters["after"])) + 1 if filters.get("after") else 0
        last = first + int(str(filters["limit"]))
        return {"runs": self._runs[first:last], "more": last < len(ids)}

    def events(self, id_: str) -> Iterator[tuple[str, dict[str, object]]]:
        """Raise, because no test follows a run."""
        raise NotImplementedError(id_)


def test_follow_more_runs_than_a_page() -> None:
    """`dragoman runs --follow` shows every run, also if there are more than one page of them."""
    shown = list(islice(changes(ManyRuns(1201), {}), 1201))
    assert {run["id"] for run in shown} == {f"run_{number}" for number in range(1201)}


def test_process_that_ignores_the_signal() -> None:
    """A gateway that did not start and ignores SIGTERM is killed, so that the command does not wait for ever."""
    with subprocess.Popen([sys.executable, "-c", NO_TERMINATE], stdout=subprocess.PIPE) as child:  # noqa: S603 - ours
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        end_process(child, timeout=0.1)
        assert child.returncode == -9


def test_library_logs(tmp_path: Path) -> None:
    """A library's own level, and a message that does not fit its arguments, are logged and do not raise."""
    done = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", LIBRARY], cwd=tmp_path, env=environment(tmp_path), capture_output=True, check=True
    )
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(event["level"], event["event"], event["source"]) for event in events] == [
        ("warning", "library.said", "library")
    ] * 2
    assert events[0]["text"] == "between two levels"
    assert events[1]["text"].startswith("%d entries (cannot be formatted: ")
