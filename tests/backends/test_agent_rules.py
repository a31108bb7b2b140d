"""Which wishes for an agent the owner's rules allow, and where it really works."""

import json
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest
from agent_harness import agents, agents_under, call

from dragoman.backends.claude_code.agent.rules import TOOLS, AgentRules, PermittedTask
from dragoman.core.errors import Forbidden, GatewayError, InvalidRequest
from dragoman.core.messages import AgentTask


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory that agents may work in."""
    made = tmp_path / "place"
    made.mkdir()
    return made


def refused(rules: AgentRules, **task: object) -> GatewayError:
    """What a wish is refused with."""
    with pytest.raises(GatewayError) as caught:
        rules.permit(AgentTask(**task))  # type: ignore[arg-type]
    return caught.value


def test_off_unless_a_directory_is_named() -> None:
    """With what to set."""
    error = refused(AgentRules())
    assert isinstance(error, Forbidden)
    assert (error.code, error.param) == ("agents_off", "claude")
    assert "--allow-dir" in error.message


def test_the_usual(place: Path) -> None:
    """One allowed directory need not be named."""
    permitted = AgentRules(directories=(place,), max_budget_usd=2.0).permit(AgentTask())
    assert permitted == PermittedTask(
        directory=place, mode="default", tools=TOOLS, add_dirs=(), mcp_servers={}, max_turns=None, max_budget_usd=2.0
    )


def test_one_of_several_has_to_be_named(place: Path, tmp_path: Path) -> None:
    """There is no usual one among them."""
    rules = AgentRules(directories=(place, tmp_path))
    assert refused(rules).param == "claude.working_directory"
    assert rules.permit(AgentTask(working_directory=str(place))).directory == place


@pytest.mark.parametrize("way", ["/etc", "{place}/../secret", "{place}/link", "{place}/link/below", "{place}x"])
def test_paths_that_lead_out(place: Path, tmp_path: Path, way: str) -> None:
    """By `..`, by a link, or by a name that only begins like it; for the working directory and for further ones."""
    (tmp_path / "secret" / "below").mkdir(parents=True)
    (tmp_path / "placex").mkdir()
    (place / "link").symlink_to(tmp_path / "secret")
    rules, path = AgentRules(directories=(place,)), way.format(place=place)
    for task in ({"working_directory": path}, {"add_dirs": (str(place), path)}):
        error = refused(rules, **task)
        assert isinstance(error, Forbidden)
        assert error.code == "directory_not_allowed"
        assert "secret" not in error.message
    assert error.param == "claude.add_dirs[1]"


def test_links_that_stay_inside_are_followed(place: Path) -> None:
    """What is used is where they lead."""
    (place / "real").mkdir()
    (place / "link").symlink_to("real")
    task = AgentTask(working_directory=f"{place}/link/../link")
    assert AgentRules(directories=(place,)).permit(task).directory == place / "real"


@pytest.mark.parametrize(
    "path",
    [
        "work",
        "",
        "~",
        "{place}/missing",
        "{place}/file",
        "{place}/a\0b",
        "{place}/" + "a" * 5000,
        "{place}" + "/a" * 5000,
    ],
)
def test_what_is_no_directory(place: Path, path: str) -> None:
    """Nothing is made, and nothing is taken from where the gateway was started."""
    (place / "file").write_text("")
    error = refused(AgentRules(directories=(place,)), working_directory=path.format(place=place))
    assert isinstance(error, InvalidRequest)
    assert error.param == "claude.working_directory"


def test_more_directories_than_a_command_line_holds(place: Path) -> None:
    """Are refused before a process is started."""
    error = refused(AgentRules(directories=(place,)), add_dirs=(str(place),) * 65)
    assert isinstance(error, InvalidRequest)
    assert error.param == "claude.add_dirs"


def test_modes(place: Path) -> None:
    """The usual three; others where the owner named them."""
    rules = AgentRules(directories=(place,))
    for mode in ("default", "plan", "acceptEdits"):
        assert rules.permit(AgentTask(permission_mode=mode)).mode == mode
    error = refused(rules, permission_mode="bypassPermissions")
    assert isinstance(error, Forbidden)
    assert "--allow-permission-mode" in error.message
    only = AgentRules(directories=(place,), modes=frozenset({"plan"}))
    assert refused(only).param == "claude.permission_mode"


def test_servers_are_as_good_as_any_command(place: Path) -> None:
    """So they are allowed where those are."""
    servers = {"any": {"command": "sh"}}
    error = refused(AgentRules(directories=(place,)), mcp_servers=servers)
    assert isinstance(error, Forbidden)
    assert error.param == "claude.mcp_servers"
    rules = AgentRules(directories=(place,), modes=frozenset({"default", "bypassPermissions"}))
    assert rules.permit(AgentTask(mcp_servers=servers)).mcp_servers == servers


def test_tools_are_known_ones(place: Path) -> None:
    """None is left out in silence."""
    error = refused(AgentRules(directories=(place,)), tools=("Read", "Sudo"))
    assert error.param == "claude.tools[1]"
    assert "`Read`" in error.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Overtaken(AgentRules):
    """Rules under which, right after the check, another puts a link where the directory was."""

    elsewhere: Path

    def permit(self, task: AgentTask) -> PermittedTask:
        """Check, and be overtaken."""
        permitted = AgentRules.permit(self, task)
        permitted.directory.rename(permitted.directory.with_name("moved"))
        permitted.directory.symlink_to(self.elsewhere)
        return permitted


async def test_the_place_that_is_really_used_is_checked(place: Path, tmp_path: Path) -> None:
    """A link that is put in the way after the check leads nowhere: nothing was asked, and no process is left."""
    inner, elsewhere = place / "inner", tmp_path / "elsewhere"
    inner.mkdir()
    elsewhere.mkdir()
    async with agents_under(tmp_path, Overtaken(directories=(place,), elsewhere=elsewhere)) as host:
        with pytest.raises(Forbidden) as caught:
            await host.ask("Hello", working_directory=str(inner))
        assert caught.value.code == "directory_not_allowed"
        assert host.runtime.calls == []
        assert host.left == []


@pytest.mark.parametrize("helper", [False, True], ids=["itself", "helper"])
@pytest.mark.parametrize("which", ["working_directory", "add_dirs"])
async def test_a_link_that_is_put_there_while_it_works(tmp_path: Path, which: str, helper: bool) -> None:  # noqa: FBT001 - a value of the table
    """Leads nowhere either: the runtime would follow it, so each use of a tool is held to where directories were."""
    async with agents(tmp_path) as host:
        inner, further = host.place / "inner", host.place / "further"
        inner.mkdir()
        further.mkdir()
        moved = inner if which == "working_directory" else further
        words = call("Read", file_path=str(moved / "outside.txt"))
        if helper:
            task = call("Agent", description="d", prompt=words, subagent_type="general-purpose")
            words = task.replace("Read", "\\u0052ead")
        asked = host.request(words, working_directory=str(inner), add_dirs=(str(further),))
        async with aclosing(host.runtime.backend.run(asked)) as running:
            await anext(running)
            moved.rename(moved.with_name("moved"))
            moved.symlink_to(host.beside)
            async for _ in running:
                pass
        told = json.dumps([call.body["messages"] for call in host.runtime.calls])
        assert "a directory of this agent was moved" in told
        assert "WHAT STANDS OUTSIDE" not in told
