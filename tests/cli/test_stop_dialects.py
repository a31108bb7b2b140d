"""A restart during streams of every dialect, with the real runtime."""

import asyncio
import json
from pathlib import Path

import httpx
from background_gateway import background_gateway
from commands import run

LONG = "Count to 900\nSimulate: pace 0.1"
MESSAGES = [{"role": "user", "content": LONG}]
REQUESTS: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {"messages": MESSAGES},
    "/v1/completions": {"prompt": LONG, "max_tokens": 5000},
    "/v1/responses": {"input": LONG},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 5000},
}


class Stream:
    """A stream that sets an event when its text has begun, and is read to its end."""

    def __init__(self, http: httpx.AsyncClient, path: str) -> None:
        self._http = http
        self._path = path
        self.begun = asyncio.Event()
        self.lines: list[str] = []

    async def read(self) -> None:
        """Read the stream. A broken connection raises."""
        body = {"model": "haiku", "stream": True, **REQUESTS[self._path]}
        async with self._http.stream("POST", self._path, json=body) as response:
            assert response.status_code == 200
            async for line in response.aiter_lines():
                self.lines.append(line)
                if " 2" in line:
                    self.begun.set()

    @property
    def last(self) -> dict[str, object]:
        """The data of the last event."""
        found: dict[str, object] = json.loads([line for line in self.lines if line][-1].removeprefix("data: "))
        return found


async def test_every_stream_ends_with_an_error_event(tmp_path: Path) -> None:
    """Each stream ends with the error event of its dialect. Other requests get 503. All are recorded."""
    async with background_gateway(
        tmp_path, "--simulate", "--shutdown-grace", "0.5", "--max-concurrency", "5"
    ) as gateway:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=gateway.url, timeout=60, limits=limits) as http:
            streams = [Stream(http, path) for path in REQUESTS]
            async with asyncio.TaskGroup() as group:
                for stream in streams:
                    group.create_task(stream.read())
                for stream in streams:
                    await stream.begun.wait()
                chat = {"model": "haiku", "messages": MESSAGES}
                plain = group.create_task(http.post("/v1/chat/completions", json=chat))
                while len(await statuses(tmp_path, "running")) < 5:
                    pass
                waiting = group.create_task(http.post("/v1/chat/completions", json={**chat, "stream": True}))
                while not await statuses(tmp_path, "queued"):
                    pass
                stopped = await run(tmp_path, "restart")
        records = await statuses(tmp_path)
    assert stopped.code == 0, stopped.err
    for stream in streams[:2]:
        assert "shutting_down" in json.dumps(stream.last["error"])
    responses, messages = streams[2:]
    assert responses.last["type"] == "response.failed"
    assert "gateway stopped before the response was complete" in json.dumps(responses.last)
    assert messages.last["type"] == "error"
    assert "shutting_down" in json.dumps(messages.last)
    assert (plain.result().status_code, waiting.result().status_code) == (503, 503)
    for response in (plain.result(), waiting.result()):
        assert response.json()["error"]["code"] == "shutting_down"
        assert response.headers["x-dragoman-run-id"].startswith("run_")
        assert response.headers["retry-after"] == "5"
    assert records == [("failed", "shutting_down")] * 6


async def statuses(home: Path, status: str | None = None) -> list[tuple[str, str | None]]:
    """Return the status and the error of each run."""
    filters = ["--status", status] if status else []
    runs = json.loads((await run(home, "runs", "--json", *filters)).out)["runs"]
    return [(one["status"], one["error"]) for one in runs]
