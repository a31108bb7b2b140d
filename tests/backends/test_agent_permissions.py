"""What an agent may do in each permission mode, on the real runtime. A refusal tells the model the reason."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from agent_harness import AgentHost, agents, bash, call, describe_actions, in_turn

MODES = ("default", "plan", "acceptEdits", "dontAsk")


def write(path: Path) -> str:
    """Return a prompt that makes the model write a file."""
    return call("Write", file_path=str(path), content="new")


async def denied(host: AgentHost, mode: str, *calls: str) -> list[str]:
    """Run an agent whose calls must all be denied, and return the texts that the model gets."""
    answer = await host.ask(in_turn(*calls), permission_mode=mode)
    assert [result["is_error"] for result in host.results] == [True] * len(calls)
    assert describe_actions(answer).count("✗") == len(calls)
    assert answer.accumulated.message["stop_reason"] == "end_turn"
    return [str(result["content"]) for result in host.results]


@pytest.mark.parametrize(
    ("mode", "word"), [("default", "no user is present"), ("plan", "plan mode"), ("dontAsk", "denied")]
)
async def test_writing_a_file_needs_a_permission(tmp_path: Path, mode: str, word: str) -> None:
    """No user is present who could give it."""
    async with agents(tmp_path, modes=frozenset(MODES)) as host:
        [reason] = await denied(host, mode, write(host.allowed_dir / "new.txt"))
        assert word in reason
        assert not (host.allowed_dir / "new.txt").exists()


async def test_accepted_edits_are_limited_to_the_working_directory(tmp_path: Path) -> None:
    """Commands that do more than edit are denied."""
    async with agents(tmp_path) as host:
        await host.ask(write(host.allowed_dir / "new.txt"), permission_mode="acceptEdits")
        assert (host.allowed_dir / "new.txt").read_text() == "new"
        program = bash(f'python3 -c \'open("{host.allowed_dir}/p", "w")\'')
        _, reason = await denied(host, "acceptEdits", write(host.outside_dir / "new.txt"), program)
        assert "no user is present" in reason
        assert not (host.outside_dir / "new.txt").exists()
        assert not (host.allowed_dir / "p").exists()


@pytest.mark.parametrize("mode", ["default", "acceptEdits"])
async def test_links_do_not_lead_out_of_the_directory(tmp_path: Path, mode: str) -> None:
    """Nothing is read or written through a link in the directory, or through `..`."""
    async with agents(tmp_path) as host:
        (host.allowed_dir / "link").symlink_to(host.outside_dir)
        texts = await denied(
            host,
            mode,
            call("Read", file_path=str(host.allowed_dir / "link" / "outside.txt")),
            call("Read", file_path=f"{host.allowed_dir}/../outside/outside.txt"),
            bash("cat link/outside.txt"),
            write(host.allowed_dir / "link" / "new.txt"),
        )
        assert "OUTSIDE FILE" not in "".join(texts)
        assert not (host.outside_dir / "new.txt").exists()


async def test_a_further_directory(tmp_path: Path) -> None:
    """A further directory that the task names, and the rules allow, can be read."""
    async with agents(tmp_path) as host:
        inner, other = host.allowed_dir / "inner", host.allowed_dir / "other"
        inner.mkdir()
        other.mkdir()
        (other / "there.txt").write_text("OVER THERE")
        read = call("Read", file_path=str(other / "there.txt"))
        await host.ask(read, working_directory=str(inner))
        assert host.result["is_error"] is True
        await host.ask(read, working_directory=str(inner), add_dirs=(str(other),))
        assert "OVER THERE" in str(host.result["content"])


async def test_an_allowed_command_needs_no_permission(tmp_path: Path) -> None:
    """A rule allows one command. Others are denied."""
    async with agents(tmp_path, allowed_tools=("Bash(touch made)",)) as host:
        await host.ask(in_turn(bash("touch made"), bash("touch other")))
        assert [result.get("is_error", False) for result in host.results] == [False, True]
        assert (host.allowed_dir / "made").exists()
        assert not (host.allowed_dir / "other").exists()


async def test_the_unrestricted_mode_allows_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only in this mode no permission is needed and no directory is a limit."""
    monkeypatch.setenv("IS_SANDBOX", "1")  # the tests may run as root, in a container
    async with agents(tmp_path, modes=frozenset({"bypassPermissions"})) as host:
        await host.ask(bash(f"cat {host.outside_dir}/outside.txt"), permission_mode="bypassPermissions")
        assert "OUTSIDE FILE" in str(host.result["content"])


async def test_settings_in_the_directory_are_not_read(tmp_path: Path) -> None:
    """A directory may contain files of others, so their rules and hooks have no effect."""
    async with agents(tmp_path) as host:
        (host.allowed_dir / ".claude").mkdir()
        hook = {"hooks": [{"type": "command", "command": f"touch {host.allowed_dir}/hooked"}]}
        allowed = {"allow": ["Bash"], "defaultMode": "acceptEdits"}
        settings = {"permissions": allowed, "hooks": {"UserPromptSubmit": [hook]}}
        (host.allowed_dir / ".claude" / "settings.json").write_text(json.dumps(settings))
        await denied(host, "default", bash("touch made"))
        assert not (host.allowed_dir / "made").exists()
        assert not (host.allowed_dir / "hooked").exists()


def hostile_repository(folder: Path, log: Path) -> None:
    """Make a repository whose own configuration runs programs that write to a file."""

    def git(*arguments: str) -> None:
        command = [str(shutil.which("git")), *arguments]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)  # noqa: S603 - git itself

    git("init", "--quiet")
    (folder / ".gitattributes").write_text("*.txt diff=evil filter=evil\n")
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message=a")
    (folder / "inside.txt").write_text("CHANGED")
    for key in (
        *("core.fsmonitor", "core.pager", "core.sshCommand", "diff.external", "diff.evil.textconv"),
        *("diff.evil.command", "filter.evil.clean", "gpg.program"),
    ):
        git("config", key, f"echo {key} >> {log}; cat")
    hook = folder / ".git" / "hooks" / "post-index-change"
    hook.write_text(f"#!/bin/sh\necho hook >> {log}\n")
    hook.chmod(0o700)


@pytest.mark.parametrize("mode", ["default", "plan", "acceptEdits"])
async def test_a_repository_cannot_run_programs(tmp_path: Path, mode: str) -> None:
    """The runtime takes reading commands of git for harmless. They run what the repository's configuration says."""
    async with agents(tmp_path) as host:
        log = host.allowed_dir / "log"
        hostile_repository(host.allowed_dir, log)
        commands = ("git status", "cat inside.txt; g''it diff", "env git log -p")
        for reason in await denied(host, mode, *map(bash, commands)):
            assert "denied" in reason
        assert not log.exists()


async def test_a_rule_allows_git(tmp_path: Path) -> None:
    """The operator accepts what repositories say."""
    async with agents(tmp_path, allowed_tools=("Bash(git status)",)) as host:
        hostile_repository(host.allowed_dir, host.allowed_dir / "log")
        await host.ask(bash("git status"))
        assert "On branch" in str(host.result["content"])
