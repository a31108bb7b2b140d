"""A gateway that is started again in the middle of answers, in every dialect, with the real runtime."""

import asyncio
import json
from pathlib import Path

import httpx
from background_gateway import background_gateway
from commands import run

LONG = "Count to 900\nSimulate: pace 0.1"
MESSAGES = [{"role": "user", "content": LONG}]
ASKED: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {"messages": MESSAGES},
    "/v1/completions": {"prompt": LONG, "max_tokens": 5000},
    "/v1/responses": {"input": LONG},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 5000},
}


class Stream:
    """An answer that comes in pieces: told when there is a first one, and read to its end."""

    def __init__(self, http: httpx.AsyncClient, path: str) -> None:
        self._http = http
        self._path = path
        self.begun = asyncio.Event()
        self.lines: list[str] = []

    async def read(self) -> None:
        """Read it; a connection that is cut raises."""
        body = {"model": "haiku", "stream": True, **ASKED[self._path]}
        async with self._http.stream("POST", self._path, json=body) as response:
            assert response.status_code == 200
            async for line in response.aiter_lines():
                self.lines.append(line)
                if " 2" in line:
                    self.begun.set()

    @property
    def last(self) -> dict[str, object]:
        """The data of its last event."""
        found: dict[str, object] = json.loads([line for line in self.lines if line][-1].removeprefix("data: "))
        return found


async def test_no_answer_is_cut_without_a_word(tmp_path: Path) -> None:
    """Each stream ends with its dialect's own error event, a plain answer and one that waits get 503, all on record."""
    async with background_gateway(
        tmp_path, "--simulate", "--shutdown-grace", "0.5", "--max-concurrency", "5"
    ) as gateway:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=gateway.url, timeout=60, limits=limits) as http:
            streams = [Stream(http, path) for path in ASKED]
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
    for stream in streams[2:]:
        assert stream.last["type"] == "error"
        assert "shutting_down" in json.dumps(stream.last)
    assert (plain.result().status_code, waiting.result().status_code) == (503, 503)
    for response in (plain.result(), waiting.result()):
        assert response.json()["error"]["code"] == "shutting_down"
        assert response.headers["x-dragoman-run-id"].startswith("run_")
        assert response.headers["retry-after"] == "5"
    assert records == [("failed", "shutting_down")] * 6


async def statuses(home: Path, status: str | None = None) -> list[tuple[str, str | None]]:
    """How runs stand, and their errors."""
    filters = ["--status", status] if status else []
    runs = json.loads((await run(home, "runs", "--json", *filters)).out)["runs"]
    return [(one["status"], one["error"]) for one in runs]
