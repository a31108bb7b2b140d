"""`dragoman service`: a systemd user unit."""

import asyncio
import os
import shlex
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from pathlib import Path

import pytest
from commands import TIMEOUT, run
from commands import line as wait_for_line

UNIT = Path("config", "systemd", "user", "dragoman.service")
SECRETS = Path("config", "dragoman", "service.env")


async def test_install_and_uninstall(tmp_path: Path) -> None:
    """`install` writes a unit for this installation and says how to enable it. `uninstall` removes it."""
    installed = await run(tmp_path, "service", "install", "--port", "9000", "--allow-host", "a.example")
    unit = (tmp_path / UNIT).read_text()
    shown = await run(tmp_path, "service", "show", "--port", "9000", "--allow-host", "a.example")
    uninstalled = await run(tmp_path, "service", "uninstall")
    assert installed.code == 0, installed.err
    assert f"ExecStart={sys.executable} -m dragoman.cli serve --port=9000 --allow-host=a.example\n" in unit
    assert f"EnvironmentFile=-{tmp_path / SECRETS}\n" in unit
    assert "WorkingDirectory=%h\n" in unit
    assert "TimeoutStopSec=30\n" in unit
    assert "systemctl --user enable --now dragoman" in installed.out
    assert shown.out == unit
    assert uninstalled.code == 0
    assert not (tmp_path / UNIT).exists()
    assert "`dragoman service install` writes it" in (await run(tmp_path, "service", "uninstall")).err


async def test_secrets(tmp_path: Path) -> None:
    """Secrets belong in a file that only the owner can read, never in the unit."""
    refused = await run(tmp_path, "service", "install", "--api-key", "gateway-secret")
    assert refused.code == 1
    assert "DRAGOMAN_API_KEY" in refused.err
    assert str(tmp_path / SECRETS) in refused.err
    assert "gateway-secret" not in refused.err
    await run(tmp_path, "service", "install")
    assert (tmp_path / SECRETS).stat().st_mode & 0o777 == 0o600
    (tmp_path / SECRETS).write_text("ANTHROPIC_API_KEY=kept\n")
    (tmp_path / SECRETS).chmod(0o644)
    await run(tmp_path, "service", "install")
    assert (tmp_path / SECRETS).read_text() == "ANTHROPIC_API_KEY=kept\n"
    assert (tmp_path / SECRETS).stat().st_mode & 0o777 == 0o600


async def test_systemd_quoting(tmp_path: Path) -> None:
    """Spaces, quotes, percent and dollar signs are quoted. The unit runs in the directory of `.env`."""
    (tmp_path / ".env").write_text("")
    shown = await run(tmp_path, "service", "show", "--embeddings-model", 'a "b" $c %d \\')
    assert '"--embeddings-model=a \\"b\\" $$c %%d \\\\"' in shown.out
    assert f"WorkingDirectory={tmp_path}\n" in shown.out


async def test_the_command_of_the_unit(tmp_path: Path) -> None:
    """The command runs in the small environment of systemd, is found by `status`, and stops on its signal."""
    await run(tmp_path, "service", "install", "--port", "0", "--simulate", "--spares", "0")
    [line] = [line for line in (tmp_path / UNIT).read_text().splitlines() if line.startswith("ExecStart=")]
    bare = {name: os.environ[name] for name in os.environ.keys() & {"PATH", "LANG"}} | {"HOME": str(tmp_path)}
    command = shlex.split(line.removeprefix("ExecStart="))
    service = await asyncio.create_subprocess_exec(*command, env=bare, cwd=tmp_path, stdout=PIPE, stderr=DEVNULL)
    try:
        await wait_for_line(service, "Clients")
        status = await run(tmp_path, "status", added={"XDG_STATE_HOME": str(tmp_path / ".local" / "state")})
    finally:
        service.terminate()
        await asyncio.wait_for(service.communicate(), TIMEOUT)
    assert status.code == 0, status.err
    assert f"pid {service.pid}, up " in status.out
    assert ", in the foreground" in status.out
    assert service.returncode == 0


async def test_bad_settings(tmp_path: Path) -> None:
    """`install` refuses settings that `serve` would refuse."""
    refused = await run(tmp_path, "service", "install", "--port", "many")
    assert refused.code == 1
    assert "port (--port" in refused.err


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
async def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """`systemd-analyze` reports no error."""
    await run(tmp_path, "service", "install", "--allow-host", "a b")
    verify = ("systemd-analyze", "--user", "verify", str(tmp_path / UNIT))
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(*verify, stdout=PIPE, stderr=STDOUT, env=environment)
    wait_for_line, _ = await asyncio.wait_for(process.communicate(), TIMEOUT)
    assert (process.returncode, wait_for_line) == (0, b"")
