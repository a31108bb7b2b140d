"""The Grafana board and the alerts in a real Prometheus that reads a gateway's metrics."""

import asyncio
import json
import re
import shutil
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path

import httpx
import pytest
from scripted import MESSAGES, Served, clean, fails, served
from test_metrics_board import EXAMPLES, prompt, queries

from dragoman.backends.base import RunRequest
from dragoman.core.errors import Overloaded
from dragoman.core.events import Event

_clean = pytest.fixture(autouse=True)(clean)

_PROGRAM = shutil.which("prometheus")
_ADDRESS = re.compile(rb'msg="Listening on" address=(\S+)')
_TIMEOUT = 120

pytestmark = pytest.mark.skipif(
    _PROGRAM is None, reason="there is no Prometheus here; Debian's package is `prometheus`"
)


@asynccontextmanager
async def prometheus(folder: Path, target: str) -> AsyncIterator[httpx.AsyncClient]:
    """Start a Prometheus that reads the metrics of a gateway, and yield a client for its API."""
    scrapes = {"job_name": "dragoman", "static_configs": [{"targets": [target]}]}
    times = {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms"}
    config = {"global": times, "rule_files": [str(EXAMPLES / "alerts.yaml")], "scrape_configs": [scrapes]}
    (folder / "config.yml").write_text(json.dumps(config), encoding="utf-8")
    flags = ("--config.file=config.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0")
    process = await asyncio.create_subprocess_exec(str(_PROGRAM), *flags, cwd=folder, stderr=PIPE)
    try:
        assert process.stderr is not None
        while not (found := _ADDRESS.search(await asyncio.wait_for(process.stderr.readline(), _TIMEOUT))):
            assert process.returncode is None
        async with httpx.AsyncClient(base_url=f"http://{found[1].decode()}/api/v1", timeout=_TIMEOUT) as http:
            yield http
    finally:
        process.terminate()
        await process.communicate()


async def send_requests(gateway: Served) -> None:
    """Send two requests that write the cache and miss what the other one wrote, and one that fails."""
    for system in ("Be brief.", "Be long.", "Fail."):
        messages = [{"role": "system", "content": system}, *MESSAGES]
        await gateway.http.post("/v1/chat/completions", json={"model": "sonnet", "messages": messages})


async def has_data(http: httpx.AsyncClient, query: str) -> bool:
    """Return whether a query has a result with a number."""
    answer = (await http.get("/query", params={"query": query})).json()
    assert answer["status"] == "success", answer
    return any(sample["value"][1] != "NaN" for sample in answer["data"]["result"])


async def test_every_query_has_data(tmp_path: Path) -> None:
    """After some requests, each query of the board returns data, and all alerts are evaluated without an error."""
    scripts = cycle([prompt("first"), prompt("second"), fails(Overloaded("busy"))])

    def script(request: RunRequest) -> AsyncGenerator[Event, None]:
        return next(scripts)(request)

    board = json.loads((EXAMPLES / "grafana.json").read_text(encoding="utf-8"))
    missing = {target["expr"] for panel in board["panels"] for target in panel["targets"]}
    assert missing <= {*queries()}
    async with (
        served(script, retries=0) as gateway,
        prometheus(tmp_path, gateway.url.removeprefix("http://")) as http,
        asyncio.timeout(_TIMEOUT),
    ):
        while missing:
            await send_requests(gateway)
            missing = {query for query in missing if not await has_data(http, query)}
        rules: list[dict[str, str]] = []
        while not rules or any(rule["health"] == "unknown" for rule in rules):
            groups = (await http.get("/rules")).json()["data"]["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(queries()) - sum(len(panel["targets"]) for panel in board["panels"])
    assert {rule["health"] for rule in rules} == {"ok"}
