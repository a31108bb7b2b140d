"""`serve --background`, `stop` and `restart`, as processes."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import httpx
import psutil
from background_gateway import background_gateway, kill_all, registry, start
from commands import run
from free_ports import free_port

from dragoman.cli.instances import InstanceRecord

KEY = "gateway-secret"


async def health(url: str) -> int:
    """Return the status of the health endpoint."""
    async with httpx.AsyncClient(timeout=300) as http:
        return (await http.get(f"{url}/health")).status_code


def everything_in(folder: Path) -> bytes:
    """Return the content of all files in a folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_start_and_stop(tmp_path: Path) -> None:
    """The gateway responds when the command returns. Other commands find it without an address, until it is stopped."""
    async with background_gateway(tmp_path, "--simulate", by_command=True) as gateway:
        assert await health(gateway.url) == 200
        assert "/state/dragoman/gateway-0.log" in gateway.output
        status = await run(tmp_path, "status")
        stopped = await run(tmp_path, "stop")
        again = await run(tmp_path, "stop")
        assert registry(tmp_path).running() == []
    assert status.code == 0, status.err
    assert (stopped.code, stopped.out) == (0, f"Stopped the gateway at {gateway.url} (pid {gateway.pid}).\n")
    assert again.code == 1
    assert "No gateway is running. Start one with `dragoman serve --background`." in again.err


async def test_a_second_start(tmp_path: Path) -> None:
    """A second start names the running gateway and exits with code 3, in the foreground and in the background."""
    async with background_gateway(tmp_path, "--simulate", by_command=True) as gateway:
        port = gateway.url.rpartition(":")[2]
        ahead, back = await asyncio.gather(
            run(tmp_path, "serve", "--port", port), run(tmp_path, "serve", "--background", "--port", port)
        )
    for second in (ahead, back):
        assert second.code == 3
        assert f"A gateway is already running at {gateway.url} (pid {gateway.pid})" in second.err


async def test_two_starts_at_once(tmp_path: Path) -> None:
    """Of two concurrent starts, one gets the port and the other one names it."""
    port = free_port()
    try:
        ended = await asyncio.gather(*(start(tmp_path, "--simulate", port=port) for _ in range(2)))
        [record] = registry(tmp_path).running()
    finally:
        kill_all(tmp_path)
    assert sorted(one.code for one in ended) == [0, 3]
    assert any(f"(pid {record.pid})" in one.err for one in ended)


async def test_restart(tmp_path: Path) -> None:
    """Flags, port and secrets stay the same. No secret is on the disk or on a command line."""
    async with background_gateway(
        tmp_path, "--simulate", "--api-key", KEY, "--models", "haiku", by_command=True
    ) as gateway:
        before = psutil.Process(gateway.pid).cmdline()
        restarted = await run(tmp_path, "restart")
        [record] = registry(tmp_path).running()
        after = psutil.Process(gateway.pid).cmdline()
        async with httpx.AsyncClient(base_url=record.address, timeout=300) as http:
            strange = await http.get("/v1/models")
            known = await http.get("/v1/models", headers={"x-api-key": KEY})
        written = everything_in(tmp_path)
        stopped = await run(tmp_path, "stop")
    assert restarted.out == f"Restarted the gateway at {gateway.url} (pid {gateway.pid}).\n"
    assert (record.address, record.pid, record.background) == (gateway.url, gateway.pid, True)
    assert (strange.status_code, known.status_code) == (401, 200)
    assert all("haiku" in model["id"] for model in known.json()["data"])
    assert KEY not in " ".join([*before, *after])
    assert KEY.encode() not in written
    assert stopped.code == 0


async def test_a_restart_that_fails(tmp_path: Path) -> None:
    """The command prints the last output of the gateway."""
    (tmp_path / "dragoman.toml").write_text("heartbeat = 9\n")
    async with background_gateway(tmp_path, "--simulate", "--config", "dragoman.toml", by_command=True) as gateway:
        (tmp_path / "dragoman.toml").write_text('heartbeat = "often"\n')
        ended = await run(tmp_path, "restart", "--port", gateway.url.rpartition(":")[2], "--config", os.devnull)
        assert registry(tmp_path).running() == []
    assert ended.code == 1
    assert "did not start again" in ended.err
    assert "heartbeat" in ended.err


async def test_restart_without_a_gateway(tmp_path: Path) -> None:
    """The error says how to start a gateway."""
    ended = await run(tmp_path, "restart", "--port", "9")
    assert ended.code == 1
    assert "No gateway is running at 127.0.0.1 port 9. Start one with `dragoman serve --background`." in ended.err


async def test_a_start_that_fails(tmp_path: Path) -> None:
    """The command prints the reason, as in the foreground, and no gateway is left."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = await start(tmp_path, "--simulate", port=port)
    assert ended.code == 1
    assert f"127.0.0.1 port {port} is in use" in ended.err
    assert registry(tmp_path).running() == []
    reloading = await start(tmp_path, "--reload")
    assert "Leave out --background." in reloading.err


async def test_after_a_kill(tmp_path: Path) -> None:
    """A killed gateway does not prevent a new start."""
    async with background_gateway(tmp_path, "--simulate", by_command=True) as gateway:
        descriptor = os.pidfd_open(gateway.pid)
        os.kill(gateway.pid, signal.SIGKILL)
        await asyncio.to_thread(_await_end, descriptor)
        stopped = await run(tmp_path, "stop")
        assert "No gateway is running." in stopped.err
        started = await start(tmp_path, "--simulate", port=int(gateway.url.rpartition(":")[2]))
    assert started.code == 0


async def test_reused_process_id(tmp_path: Path) -> None:
    """A stale file is not a gateway. A process that reuses the id of a gateway gets no signal."""
    other = InstanceRecord(host="127.0.0.1", port=9, grace=0, arguments=(), pid=os.getpid(), began=1.0)
    with registry(tmp_path).register(other):
        refused = await run(tmp_path, "stop")
    assert refused.code == 1
    assert f"cannot be reached as process {os.getpid()}" in refused.err
    stale = tmp_path / "state" / "dragoman" / "gateways" / "stale.json"
    stale.write_text("{}")
    assert "No gateway is running." in (await run(tmp_path, "stop")).err
    assert not stale.exists()


async def test_several_gateways(tmp_path: Path) -> None:
    """With several gateways, a command needs a flag or a setting that selects one. `stop --all` stops them all."""
    async with (
        background_gateway(tmp_path, "--simulate", by_command=True) as first,
        background_gateway(tmp_path, "--simulate", by_command=True) as second,
    ):
        unclear = await run(tmp_path, "stop")
        named = await run(tmp_path, "status", added={"DRAGOMAN_PORT": second.url.rpartition(":")[2]})
        absent = await run(tmp_path, "status", "--port", "9")
        one = await run(tmp_path, "stop", "--now", "--port", first.url.rpartition(":")[2])
        every = await run(tmp_path, "stop", "--all")
    assert unclear.code == 1
    assert named.out.startswith(f"Dragoman 0.1.0 at {second.url}: ready\n")
    assert "No gateway responds at http://127.0.0.1:9 " in absent.err
    assert f"{first.url} (pid {first.pid})" in unclear.err
    assert "--port" in unclear.err
    assert one.out == f"Stopped the gateway at {first.url} (pid {first.pid}).\n"
    assert every.out == f"Stopped the gateway at {second.url} (pid {second.pid}).\n"


def _await_end(descriptor: int) -> None:
    """Return when a process has ended. It need not be a child."""
    import select  # noqa: PLC0415 - used only here

    select.select([descriptor], [], [], 60)
    os.close(descriptor)
