"""Three nodes in processes of their own behind nginx, with the configuration of the example."""

import asyncio
import os
import re
import shutil
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import forked
import httpx
import pytest
from commands import COMMAND, TIMEOUT, Process, environment, line
from free_ports import free_port

from dragoman.simulator.server import Simulator

CONFIGURATION = Path(__file__).parents[2] / "examples" / "cluster" / "nginx.conf"
_SERVER = re.compile(r"server node(\d):8787")
_MAX_CALLS = 100_000
OWN = {"authorization": "Bearer the key of the gateway"}


@dataclass(frozen=True)
class Machine:
    """What one node runs on.

    Attributes:
        address: Its address.
        prefix: A command that runs another one there, such as `ip netns exec NAME`; empty: it is this machine.
        variables: Environment variables of its node.
    """

    address: str = "127.0.0.1"
    prefix: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


class Cluster:
    """Three nodes, their upstream, and a client of the load balancer.

    Args:
        folder: Where their files are.
        database: The address of the database.
        upstream: The simulator.
        more: More environment variables of the nodes.
        machines: What each node runs on.

    Attributes:
        http: A client of the load balancer, with a new connection for each request.
        upstream: See above.
        machines: See above.
        nodes: The processes of the nodes.
    """

    def __init__(
        self,
        folder: Path,
        database: str,
        upstream: Simulator,
        more: Mapping[str, str],
        machines: Sequence[Machine] = (Machine(),) * 3,
    ) -> None:
        self.upstream = upstream
        self.machines = machines
        self.nodes: list[Process] = []
        self._folder = folder
        self._ports = [free_port() for _ in range(7)]
        self.http = _client("127.0.0.1", self._ports[0])
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
        return _client(self.machines[index].address, self._ports[1 + index])

    async def start(self, index: int) -> None:
        """Start a node, and wait until it is ready."""
        home = self._folder / f"node{index}"
        home.mkdir(exist_ok=True)
        machine = self.machines[index]
        own = {
            "DRAGOMAN_HOST": machine.address,
            "DRAGOMAN_PORT": str(self._ports[1 + index]),
            "DRAGOMAN_NODE_ADDRESS": f"{machine.address}:{self._ports[4 + index]}",
        }
        variables = {**environment(home), **self._more, **own, **machine.variables}
        process: Process
        if machine.prefix or machine.variables:  # a forked process is on this machine, and has its clock
            command = (*machine.prefix, COMMAND, "serve", "-m")
            process = await asyncio.create_subprocess_exec(*command, cwd=home, env=variables, stdout=PIPE, stderr=PIPE)
        else:
            process = await forked.start(("serve", "-m"), home, variables)
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

    def node_at(self, address: str) -> int:
        """Return the index of the node that the load balancer has at an address; see the header `x-node`."""
        host, _, port = address.rpartition(":")
        places = [(machine.address, str(port)) for machine, port in zip(self.machines, self._ports[1:4], strict=True)]
        return places.index((host, port))

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
        text = _SERVER.sub(lambda found: f"server {self._place(int(found[1]))}", text)
        text = text.replace("proxy_buffering off;", "proxy_buffering off; add_header x-node $upstream_addr always;")
        text = text.replace("listen 8080", f"listen 127.0.0.1:{self._ports[0]}")
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{kind}_temp_path {self._folder}/{kind};" for kind in kinds)
        path = self._folder / "nginx.conf"
        path.write_text(text.replace("http {", f"http {{ access_log off; {paths}"))
        own = f"daemon off; master_process off; pid {self._folder}/nginx.pid; error_log {self._folder}/nginx.log;"
        return [nginx_program(), "-c", str(path), "-g", own]

    def _place(self, number: int) -> str:
        return f"{self.machines[number - 1].address}:{self._ports[number]}"


def nginx_program() -> str:
    """Return the path of nginx. Skip the test where the package is not installed, but not in CI."""
    if found := shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"):
        return found
    if os.environ.get("CI") == "true":
        raise FileNotFoundError("The package nginx is not installed.")
    pytest.skip("The package nginx is not installed.")


@asynccontextmanager
async def cluster(
    folder: Path,
    database: str,
    *,
    host: str = "127.0.0.1",
    machines: Sequence[Machine] = (Machine(),) * 3,
    **more: str,
) -> AsyncIterator[Cluster]:
    """Start three nodes and nginx, and end them. The scripted API is at `host`."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(Simulator(host, keep=_MAX_CALLS))
        made = Cluster(folder, database, upstream, more, machines)
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


def _client(host: str, port: int) -> httpx.AsyncClient:
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncClient(base_url=f"http://{host}:{port}", headers=OWN, limits=limits, timeout=TIMEOUT)
