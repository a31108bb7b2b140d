"""The operator's rules for agents: which tasks they permit, and where an agent really works."""

import json
from contextlib import aclosing
from pathlib import Path

import pytest
from agent_harness import agents, agents_under, call

from dragoman.backends.claude_code.agent.boundary import Boundary
from dragoman.backends.claude_code.agent.rules import TOOLS, AgentRules, PermittedTask, missing_tools
from dragoman.core.errors import Forbidden, GatewayError, InvalidRequest
from dragoman.core.messages import AgentTask
from dragoman.core.value_object import replace, value_object


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    """A directory that agents may work in."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def refusal(rules: AgentRules, **task: object) -> GatewayError:
    """Return the error that refuses a task."""
    with pytest.raises(GatewayError) as caught:
        rules.permit(AgentTask(**task))  # type: ignore[arg-type]
    return caught.value


def test_agents_are_off_without_a_directory() -> None:
    """The error names the setting."""
    error = refusal(AgentRules())
    assert isinstance(error, Forbidden)
    assert (error.code, error.param) == ("agents_off", "claude")
    assert "--allow-dir" in error.message


def test_defaults(allowed: Path) -> None:
    """The only allowed directory is the default."""
    permitted = AgentRules(directories=(allowed,), max_budget_usd=2.0, boundary=Boundary()).permit(AgentTask())
    assert permitted == PermittedTask(
        directory=allowed,
        mode="default",
        tools=TOOLS,
        no_commands=False,
        add_dirs=(),
        mcp_servers={},
        max_turns=None,
        max_budget_usd=2.0,
    )


def test_no_commands_without_a_boundary(allowed: Path) -> None:
    """Commands that only read need no permission and follow links, so a boundary or a rule must exist."""
    rules = AgentRules(directories=(allowed,), modes=frozenset({"default", "bypassPermissions"}))
    permitted = rules.permit(AgentTask())
    assert "Bash" not in permitted.tools
    assert [warning.param for warning in missing_tools(permitted)] == ["claude.tools"]
    error = refusal(rules, tools=("Read", "Bash"))
    assert (error.code, error.param) == ("tool_not_allowed", "claude.tools[1]")
    assert list(missing_tools(rules.permit(AgentTask(tools=("Read",))))) == []
    for offered in (
        rules.permit(AgentTask(permission_mode="bypassPermissions")),
        replace(rules, allowed_tools=("Bash(make *)",)).permit(AgentTask()),
    ):
        assert offered.tools == TOOLS
        assert list(missing_tools(offered)) == []


def test_one_of_several_directories_must_be_named(allowed: Path, tmp_path: Path) -> None:
    """There is no default among several."""
    rules = AgentRules(directories=(allowed, tmp_path))
    assert refusal(rules).param == "claude.working_directory"
    assert rules.permit(AgentTask(working_directory=str(allowed))).directory == allowed


@pytest.mark.parametrize(
    "path_template", ["/etc", "{allowed}/../secret", "{allowed}/link", "{allowed}/link/below", "{allowed}x"]
)
def test_paths_out_of_the_directory_are_refused(allowed: Path, tmp_path: Path, path_template: str) -> None:
    """They lead out by `..`, by a link, or by a name with the same beginning. Further directories too."""
    (tmp_path / "secret" / "below").mkdir(parents=True)
    (tmp_path / "placex").mkdir()
    (allowed / "link").symlink_to(tmp_path / "secret")
    rules, path = AgentRules(directories=(allowed,)), path_template.format(allowed=allowed)
    for task in ({"working_directory": path}, {"add_dirs": (str(allowed), path)}):
        error = refusal(rules, **task)
        assert isinstance(error, Forbidden)
        assert error.code == "directory_not_allowed"
        assert "secret" not in error.message
    assert error.param == "claude.add_dirs[1]"


def test_links_inside_the_directory_are_followed(allowed: Path) -> None:
    """The permitted path is the real path."""
    (allowed / "real").mkdir()
    (allowed / "link").symlink_to("real")
    task = AgentTask(working_directory=f"{allowed}/link/../link")
    assert AgentRules(directories=(allowed,)).permit(task).directory == allowed / "real"


@pytest.mark.parametrize(
    "path",
    [
        "work",
        "",
        "~",
        "{allowed}/missing",
        "{allowed}/file",
        "{allowed}/a\0b",
        "{allowed}/" + "a" * 5000,
        "{allowed}" + "/a" * 5000,
    ],
)
def test_invalid_directories_are_refused(allowed: Path, path: str) -> None:
    """No directory is created, and paths are not relative to the gateway's own directory."""
    (allowed / "file").write_text("")
    error = refusal(AgentRules(directories=(allowed,)), working_directory=path.format(allowed=allowed))
    assert isinstance(error, InvalidRequest)
    assert error.param == "claude.working_directory"


def test_the_number_of_directories_is_limited(allowed: Path) -> None:
    """A command line has a limited length."""
    error = refusal(AgentRules(directories=(allowed,)), add_dirs=(str(allowed),) * 65)
    assert isinstance(error, InvalidRequest)
    assert error.param == "claude.add_dirs"


def test_modes(allowed: Path) -> None:
    """Three modes are allowed by default, others only by a rule."""
    rules = AgentRules(directories=(allowed,))
    for mode in ("default", "plan", "acceptEdits"):
        assert rules.permit(AgentTask(permission_mode=mode)).mode == mode
    error = refusal(rules, permission_mode="bypassPermissions")
    assert isinstance(error, Forbidden)
    assert "--allow-permission-mode" in error.message
    only = AgentRules(directories=(allowed,), modes=frozenset({"plan"}))
    assert refusal(only).param == "claude.permission_mode"


def test_servers_need_the_unrestricted_mode(allowed: Path) -> None:
    """A server can run any command, so the rules must allow every command."""
    servers = {"any": {"command": "sh"}}
    error = refusal(AgentRules(directories=(allowed,)), mcp_servers=servers)
    assert isinstance(error, Forbidden)
    assert error.param == "claude.mcp_servers"
    rules = AgentRules(directories=(allowed,), modes=frozenset({"default", "bypassPermissions"}))
    assert rules.permit(AgentTask(mcp_servers=servers)).mcp_servers == servers


def test_unknown_tools_are_refused(allowed: Path) -> None:
    """No tool is omitted without an error."""
    error = refusal(AgentRules(directories=(allowed,)), tools=("Read", "Sudo"))
    assert error.param == "claude.tools[1]"
    assert "`Read`" in error.message


@value_object(kw_only=True)
class ReplacedDirectory(AgentRules):
    """Rules that replace the directory by a link right after the check."""

    link_target: Path = Path()

    def permit(self, task: AgentTask) -> PermittedTask:
        """Check, and then replace the directory."""
        permitted = AgentRules.permit(self, task)
        permitted.directory.rename(permitted.directory.with_name("moved"))
        permitted.directory.symlink_to(self.link_target)
        return permitted


async def test_the_real_working_directory_is_checked(allowed: Path, tmp_path: Path) -> None:
    """A link that appears after the check is refused: Claude is not called, and no process remains."""
    working, link_target = allowed / "inner", tmp_path / "elsewhere"
    working.mkdir()
    link_target.mkdir()
    async with agents_under(tmp_path, ReplacedDirectory(directories=(allowed,), link_target=link_target)) as host:
        with pytest.raises(Forbidden) as caught:
            await host.ask("Hello", working_directory=str(working))
        assert caught.value.code == "directory_not_allowed"
        assert host.runtime.calls == []
        assert host.workspaces == []


@pytest.mark.parametrize("subagent", [False, True], ids=["agent", "subagent"])
@pytest.mark.parametrize("which", ["working_directory", "add_dirs"])
async def test_a_link_that_appears_during_the_run_is_refused(tmp_path: Path, which: str, subagent: bool) -> None:  # noqa: FBT001 - a value of the table
    """The runtime would follow the link, so the directories are checked at each use of a tool."""
    async with agents(tmp_path) as host:
        working, further = host.allowed_dir / "inner", host.allowed_dir / "further"
        working.mkdir()
        further.mkdir()
        moved = working if which == "working_directory" else further
        prompt = call("Read", file_path=str(moved / "outside.txt"))
        if subagent:
            task = call("Agent", description="d", prompt=prompt, subagent_type="general-purpose")
            prompt = task.replace("Read", "\\u0052ead")
        request = host.request(prompt, working_directory=str(working), add_dirs=(str(further),))
        async with aclosing(host.runtime.backend.run(request)) as running:
            await anext(running)
            moved.rename(moved.with_name("moved"))
            moved.symlink_to(host.outside_dir)
            async for _ in running:
                pass
        sent = json.dumps([call.body["messages"] for call in host.runtime.calls])
        assert "a directory of this agent was moved" in sent
        assert "OUTSIDE FILE" not in sent
