"""Three nodes in processes of their own behind nginx, with the configuration of the example."""

import asyncio
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import forked
import httpx
import pytest
from commands import TIMEOUT, Process, environment, line

from dragoman.simulator.server import Simulator

CONFIGURATION = Path(__file__).parents[2] / "examples" / "cluster" / "nginx.conf"
_SERVER = re.compile(r"server node(\d):8787")
OWN = {"authorization": "Bearer the key of the gateway"}


class Cluster:
    """Three nodes, their upstream, and a client of the load balancer.

    Args:
        folder: Where their files are.
        database: The address of the database.
        upstream: The simulator.
        more: More environment variables of the nodes.

    Attributes:
        http: A client of the load balancer, with a new connection for each request.
        upstream: See above.
        nodes: The processes of the nodes.
    """

    def __init__(self, folder: Path, database: str, upstream: Simulator, more: Mapping[str, str]) -> None:
        self.upstream = upstream
        self.nodes: list[Process] = []
        self._folder = folder
        self._ports = [_free_port() for _ in range(7)]
        self.http = _client(self._ports[0])
        self._more = {
            "ANTHROPIC_BASE_URL": upstream.url,
            "ANTHROPIC_API_KEY": "sk-ant-dummy",
            "DRAGOMAN_BACKEND": "api",
            "DRAGOMAN_DATABASE": database,
            "DRAGOMAN_ENCRYPTION_KEY": "a key of all nodes",
            "DRAGOMAN_API_KEY": OWN["authorization"].removeprefix("Bearer "),
            "DRAGOMAN_LOG_FILE": "log",
            **more,
        }

    def client(self, index: int) -> httpx.AsyncClient:
        """Return a client of one node. The caller closes it."""
        return _client(self._ports[1 + index])

    async def start(self, index: int) -> None:
        """Start a node, and wait until it is ready."""
        home = self._folder / f"node{index}"
        home.mkdir(exist_ok=True)
        own = {
            "DRAGOMAN_PORT": str(self._ports[1 + index]),
            "DRAGOMAN_NODE_ADDRESS": f"127.0.0.1:{self._ports[4 + index]}",
        }
        process = await forked.start(("serve", "-m"), home, {**environment(home), **self._more, **own})
        self.nodes[index : index + 1] = [process]
        try:
            await line(process, "http")
        except AssertionError:
            _, errors = await process.communicate()
            raise AssertionError(f"A node did not start: {errors.decode()}") from None

    async def stop(self, index: int) -> int:
        """Have a node stop in the usual stages. Return its exit code."""
        self.nodes[index].terminate()
        await asyncio.wait_for(self.nodes[index].communicate(), TIMEOUT)
        return self.nodes[index].returncode or 0

    async def wait_for_requests(self, index: int) -> None:
        """Wait until the load balancer sends requests to a node again."""
        async with self.client(index) as node:
            while 'route="/v1/chat/completions"' not in (await node.get("/metrics")).text:
                pass

    async def find_runner(self) -> int:
        """Return the node that executes the only run."""
        while True:
            for index in range(3):
                async with self.client(index) as node:
                    if (await node.get("/admin/status")).json()["runs"]["running"]:
                        return index

    def nginx(self) -> list[str]:
        """Write the example's configuration for these ports. Return the command that runs nginx with it."""
        text = CONFIGURATION.read_text()
        text = _SERVER.sub(lambda found: f"server 127.0.0.1:{self._ports[int(found[1])]}", text)
        text = text.replace("listen 8080", f"listen 127.0.0.1:{self._ports[0]}")
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{kind}_temp_path {self._folder}/{kind};" for kind in kinds)
        path = self._folder / "nginx.conf"
        path.write_text(text.replace("http {", f"http {{ access_log off; {paths}"))
        own = f"daemon off; master_process off; pid {self._folder}/nginx.pid; error_log {self._folder}/nginx.log;"
        return [nginx_program(), "-c", str(path), "-g", own]


def nginx_program() -> str:
    """Return the path of nginx. Skip the test where the package is not installed, but not in CI."""
    if found := shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"):
        return found
    if os.environ.get("CI") == "true":
        raise FileNotFoundError("The package nginx is not installed.")
    pytest.skip("The package nginx is not installed.")


@asynccontextmanager
async def cluster(folder: Path, database: str, **more: str) -> AsyncIterator[Cluster]:
    """Start three nodes and nginx, and end them."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(Simulator())
        made = Cluster(folder, database, upstream, more)
        await stack.enter_async_context(made.http)
        stack.push_async_callback(_end, made.nodes)
        await made.start(0)  # it makes the tables
        await asyncio.gather(made.start(1), made.start(2))
        nginx = await asyncio.create_subprocess_exec(*made.nginx())
        stack.push_async_callback(_end, [nginx])
        while True:
            with suppress(httpx.ConnectError):
                if (await made.http.get("/health/ready")).is_success:
                    break
        yield made


async def _end(processes: list[Process]) -> None:
    for process in processes:
        if process.returncode is None:
            process.kill()
        await asyncio.wait_for(process.wait(), TIMEOUT)


def _client(port: int) -> httpx.AsyncClient:
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=OWN, limits=limits, timeout=TIMEOUT)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
