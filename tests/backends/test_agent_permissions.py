"""What an agent may do in each permission mode, tried on the real runtime; where it may not, the model is told why."""

import json
from pathlib import Path

import pytest
from agent_harness import AgentHost, agents, bash, call, did

EVERYWHERE = ("default", "plan", "acceptEdits", "dontAsk")


def write(path: Path) -> str:
    """Words that have a file written."""
    return call("Write", file_path=str(path), content="new")


async def denied(host: AgentHost, words: str, mode: str) -> str:
    """Ask for what must not happen, and return what the model is told."""
    answer = await host.ask(words, permission_mode=mode)
    assert host.result["is_error"] is True
    assert "✗" in did(answer)
    assert answer.accumulated.message["stop_reason"] == "end_turn"
    return str(host.result["content"])


@pytest.mark.parametrize(
    ("mode", "word"), [("default", "no user is present"), ("plan", "plan mode"), ("dontAsk", "denied")]
)
async def test_files_are_not_written(tmp_path: Path, mode: str, word: str) -> None:
    """Where that wants a permission, which nobody can give."""
    async with agents(tmp_path, modes=frozenset(EVERYWHERE)) as host:
        assert word in await denied(host, write(host.place / "new.txt"), mode)
        assert not (host.place / "new.txt").exists()


async def test_files_are_written_where_edits_are_accepted(tmp_path: Path) -> None:
    """In the working directory alone; commands that do more than edit are not run."""
    async with agents(tmp_path) as host:
        await host.ask(write(host.place / "new.txt"), permission_mode="acceptEdits")
        assert (host.place / "new.txt").read_text() == "new"
        await denied(host, write(host.beside / "new.txt"), "acceptEdits")
        assert not (host.beside / "new.txt").exists()
        assert "no user is present" in await denied(
            host, bash(f'python3 -c \'open("{host.place}/p", "w")\''), "acceptEdits"
        )
        assert not (host.place / "p").exists()


@pytest.mark.parametrize("mode", ["default", "acceptEdits"])
async def test_links_lead_nowhere(tmp_path: Path, mode: str) -> None:
    """Out of the directory, by a link in it to a file or a directory, nothing is read and nothing written."""
    async with agents(tmp_path) as host:
        (host.place / "link").symlink_to(host.beside)
        for words in (
            call("Read", file_path=str(host.place / "link" / "outside.txt")),
            call("Read", file_path=f"{host.place}/../beside/outside.txt"),
            bash("cat link/outside.txt"),
            write(host.place / "link" / "new.txt"),
        ):
            assert "WHAT STANDS OUTSIDE" not in await denied(host, words, mode)
        assert not (host.beside / "new.txt").exists()


async def test_a_directory_more(tmp_path: Path) -> None:
    """What is asked for beside the working directory, and allowed, can be read."""
    async with agents(tmp_path) as host:
        inner, other = host.place / "inner", host.place / "other"
        inner.mkdir()
        other.mkdir()
        (other / "there.txt").write_text("OVER THERE")
        read = call("Read", file_path=str(other / "there.txt"))
        await host.ask(read, working_directory=str(inner))
        assert host.result["is_error"] is True
        await host.ask(read, working_directory=str(inner), add_dirs=(str(other),))
        assert "OVER THERE" in str(host.result["content"])


async def test_what_the_owner_allows_is_not_asked_for(tmp_path: Path) -> None:
    """A rule lets that one command run; others are denied still."""
    async with agents(tmp_path, allowed_tools=("Bash(touch made)",)) as host:
        await host.ask(bash("touch made"))
        assert (host.place / "made").exists()
        await denied(host, bash("touch other"), "default")
        assert not (host.place / "other").exists()


async def test_anything_goes_where_the_owner_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then, and only then, nothing is asked and nothing is confined."""
    monkeypatch.setenv("IS_SANDBOX", "1")  # the tests may run as root, in a container
    async with agents(tmp_path, modes=frozenset({"bypassPermissions"})) as host:
        await host.ask(bash(f"cat {host.beside}/outside.txt"), permission_mode="bypassPermissions")
        assert "WHAT STANDS OUTSIDE" in str(host.result["content"])


async def test_settings_in_the_directory_allow_nothing(tmp_path: Path) -> None:
    """A directory may hold what others have put there: its rules and hooks are not read."""
    async with agents(tmp_path) as host:
        (host.place / ".claude").mkdir()
        hook = {"hooks": [{"type": "command", "command": f"touch {host.place}/hooked"}]}
        allowed = {"allow": ["Bash"], "defaultMode": "acceptEdits"}
        settings = {"permissions": allowed, "hooks": {"UserPromptSubmit": [hook]}}
        (host.place / ".claude" / "settings.json").write_text(json.dumps(settings))
        await denied(host, bash("touch made"), "default")
        assert not (host.place / "made").exists()
        assert not (host.place / "hooked").exists()
