"""The boundary around agents, attacked: the real runtime in real bubblewrap, with a model that does what it should not.

The agents of this module may run every command without permission: only the boundary holds them.
"""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from agent_harness import AgentHost, agents, bash, call, describe_actions, in_turn, needs_boundary
from backend_harness import runtime
from gateways import with_timeout

from dragoman.backends.claude_code.agent.boundary import Boundary, Mounts, has_mounted
from dragoman.backends.claude_code.agent.rules import AgentRules
from dragoman.backends.shared.child_process import ChildProcess

pytestmark = needs_boundary

KEY = "sk-ant-dummy"  # of the harness


@pytest.fixture
async def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AgentHost]:
    """A backend whose agents may run everything, in a boundary that shows a directory of tools, except for a key."""
    monkeypatch.setenv("IS_SANDBOX", "1")  # the tests may run as root, in a container
    monkeypatch.setenv("PLANTED", "PLANTED-IN-THE-GATEWAY")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "tool.txt").write_text("TOOL FILE")
    (tools / "key").write_text("CLIENT KEY")
    boundary = Boundary(readable=(tools,), hidden=(tools / "key",))
    modes = frozenset({"default", "plan", "acceptEdits", "bypassPermissions"})
    async with agents(tmp_path, modes=modes, allowed_tools=(), boundary=boundary) as created:
        yield created


async def output_of(host: AgentHost, command: str) -> str:
    """Return what the model gets back for a command."""
    await host.ask(bash(command), permission_mode="bypassPermissions")
    return str(host.result["content"])


async def test_files_outside_do_not_exist(host: AgentHost) -> None:
    """Homes, the gateway's files, other agents' files, hidden keys. An agent reads and writes its own."""
    (host.allowed_dir / "link").symlink_to(host.outside_dir)
    state, tools = host.runtime.options.state_dir, host.allowed_dir.parent / "tools"
    other = state / "agents" / "1-other"
    other.mkdir(parents=True)
    (other / "mcp.json").write_text("OTHER AGENT")
    command = (
        f"cat {host.outside_dir}/outside.txt link/outside.txt {other}/mcp.json {tools}/key; ls {state} {state}/agents "
        f"{Path.home()} /home /root /run; cat {tools}/tool.txt inside.txt; cat /etc/shadow | head -c 20; "
        f"for name in {host.outside_dir}/new {tools}/new /usr/new /etc/new /new; do echo x > $name; done; "
        "echo made > made.txt; mktemp; echo END"
    )
    output = await output_of(host, command)
    for secret in ("OUTSIDE FILE", "OTHER AGENT", "CLIENT KEY", "root:"):
        assert secret not in output
    for text in ("TOOL FILE", "TEXT OF THE FILE", f"/agents/{os.getpid()}-", "END"):
        assert text in output
    assert (host.allowed_dir / "made.txt").read_text() == "made\n"
    for path in (host.outside_dir / "new", tools / "new", Path("/usr/new"), Path("/etc/new"), Path("/new")):
        assert not path.exists()


async def test_no_process_and_no_key_outside_can_be_read(host: AgentHost) -> None:
    """`/proc` has the agent's processes alone, and none of them holds the key, nor the gateway's environment."""
    command = (
        "cat /proc/[0-9]*/environ | tr '\\0' '\\n'; cat /proc/[0-9]*/cmdline | tr '\\0' ' '; echo; "
        f"kill -0 {os.getpid()} || echo NO SUCH PROCESS; ls -d /proc/[0-9]* | wc -l"
    )
    # The runtime itself is asked to show its environment and that of process 1.
    reads = [call("Read", file_path=path) for path in ("/proc/self/environ", "/proc/1/environ")]
    await host.ask(in_turn(bash(command), *reads), permission_mode="bypassPermissions")
    assert len(host.results) == 3
    output = str(host.results[0]["content"])
    assert "ANTHROPIC_API_KEY=agent-" in output
    assert "NO SUCH PROCESS" in output
    assert int(output.rsplit(maxsplit=1)[-1]) < 12
    for secret in (KEY, "PLANTED-IN-THE-GATEWAY"):
        assert secret not in output
    assert KEY not in json.dumps(host.results)
    # The calls reached the API with the key, which the gateway adds.
    assert {call.headers["x-api-key"] for call in host.runtime.calls} == {KEY}


async def test_the_token_of_an_agent_opens_nothing_else(host: AgentHost) -> None:
    """With it, the Messages API can be called, while the agent runs. No other address of the account can."""
    command = (
        "python3 - <<'X'\n"
        "import os, urllib.request, urllib.error\n"
        "base, token = [line for line in open('/proc/1/environ').read().split('\\0')], None\n"
        "env = dict(line.split('=', 1) for line in base if '=' in line)\n"
        "for path, token in (('/v1/files', env['ANTHROPIC_API_KEY']), ('/v1/messages', 'agent-other')):\n"
        "    request = urllib.request.Request(env['ANTHROPIC_BASE_URL'] + path, b'{}', {'x-api-key': token})\n"
        "    try:\n"
        "        print(urllib.request.urlopen(request).status)\n"
        "    except urllib.error.HTTPError as error:\n"
        "        print(error.code, error.read().decode())\n"
        "X"
    )
    before = len(host.runtime.calls)
    output = await output_of(host, command)
    assert "403" in output
    assert "may only call the Messages API" in output
    assert "401" in output
    assert len(host.runtime.calls) == before + 2


@pytest.mark.parametrize("mode", ["default", "plan", "acceptEdits"])
async def test_reading_commands_do_not_follow_links_out(host: AgentHost, mode: str) -> None:
    """In modes that let commands read without permission."""
    (host.allowed_dir / "outside.txt").symlink_to(host.outside_dir / "outside.txt")
    (host.allowed_dir / "folder").symlink_to(host.outside_dir)
    commands = ("grep -R FILE .", "cat *.txt", "tail ./*")
    await host.ask(in_turn(*map(bash, commands)), permission_mode=mode)
    assert len(host.results) == len(commands)
    for result in host.results:
        assert "TEXT OF THE FILE" in str(result["content"])
        assert "OUTSIDE FILE" not in str(result["content"])


async def test_a_client_is_served_as_without_a_boundary(host: AgentHost) -> None:
    """Actions, text and usage are the same, and nothing remains."""
    answer = await host.ask(bash("cat inside.txt"))
    assert "→ TEXT OF THE FILE" in describe_actions(answer)
    assert answer.text == "The tool said: TEXT OF THE FILE"
    assert answer.started.warnings == ()
    assert host.workspaces == []


async def test_a_sign_in_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime reads its file. Nothing else of the operator's home is shown, and nothing is written there."""
    home = tmp_path / "ann"
    place, sign_in = home / "place", home / ".claude" / ".credentials.json"
    place.mkdir(parents=True)
    sign_in.parent.mkdir()
    token = {"accessToken": "dummy-of-ann", "refreshToken": "dummy", "expiresAt": 4e12, "scopes": ["user:inference"]}
    sign_in.write_text(json.dumps({"claudeAiOauth": token}))
    (home / "secret").write_text("HOME SECRET")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("IS_SANDBOX", "1")
    monkeypatch.delenv("CLAUDE_CODE_OAUTH_TOKEN", raising=False)
    rules = AgentRules(directories=(place,), modes=frozenset({"bypassPermissions"}), boundary=Boundary())
    async with runtime(tmp_path, signed_in=True, config_dir=None, agents=rules) as running:
        host = AgentHost(running, place, tmp_path)
        output = await output_of(host, "cat ~/secret; echo x > ~/new; echo x > ~/.claude/settings.json; echo END")
        assert "END" in output
        assert "HOME SECRET" not in output
        assert {call.headers["authorization"] for call in running.calls} == {"Bearer dummy-of-ann"}
    assert sorted(path.name for path in home.iterdir()) == [".claude", "place", "secret"]
    assert list(sign_in.parent.iterdir()) == [sign_in]


async def test_a_directory_that_moved_is_found(tmp_path: Path) -> None:
    """A link in place of a directory, or another directory inside the boundary than the one that was checked."""
    real, elsewhere, link = tmp_path / "real", tmp_path / "elsewhere", tmp_path / "link"
    real.mkdir()
    elsewhere.mkdir()
    link.symlink_to(elsewhere)
    mounts = Mounts(
        directory=real,
        writable=((real, real), (elsewhere, link)),
        scratch=tmp_path / "scratch",
        executable=Path("/bin/sh"),
    )
    mounts.scratch.mkdir()
    prefix = await asyncio.to_thread(Boundary().prefix, mounts, {})
    process = await ChildProcess.spawn([*prefix, "/bin/sh", "-c", "echo '{}'; exec sleep 3600"], env={}, cwd=real)
    started = asyncio.Event()
    process.listen(lambda _: started.set(), lambda _: None)
    try:
        await with_timeout(started.wait())
        assert has_mounted(process.pid, [real])
        assert not has_mounted(process.pid, [real, link])
        real.rename(tmp_path / "moved")
        real.mkdir()
        assert not has_mounted(process.pid, [real])
    finally:
        process.kill()
        await process.exited


def test_hidden_paths_below_readable_ones(tmp_path: Path) -> None:
    """The gateway's files are hidden below a home that can be read. The agent's own directories among them work."""
    home = tmp_path / "home"
    state, workspace, key = home / "state", home / "state" / "agents" / "1", home / "key"
    workspace.mkdir(parents=True)
    for path in (state / "secret", home / "file", key):
        path.write_text(f"{path.name.upper()} TEXT\n")
    boundary = Boundary(readable=(home,), hidden=(state, key))
    mounts = Mounts(
        directory=workspace, writable=((workspace, workspace),), scratch=workspace, executable=Path("/bin/sh")
    )
    script = (
        f"ls {state}; cat {home}/file {key} {state}/secret; echo x > {state}/new; echo x > {home}/new; echo x > own"
    )
    done = subprocess.run([*boundary.prefix(mounts, {}), "/bin/sh", "-c", script], capture_output=True, check=True)  # noqa: S603 - bubblewrap
    assert done.stdout.decode() == "agents\nFILE TEXT\n"
    assert sorted(path.name for path in home.iterdir()) == ["file", "key", "state"]
    assert sorted(path.name for path in state.iterdir()) == ["agents", "secret"]
    assert (workspace / "own").read_text() == "x\n"
