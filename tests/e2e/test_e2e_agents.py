"""Agents through the whole gateway and the real runtime, with the official client and plain HTTP."""

import asyncio
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest
from agent_harness import UNCONFINED, bash, create_directory
from gateways import NEW, OLD, RunningGateway, WatchedProcess, chat_body, gateway, user_message, with_timeout
from openai import PermissionDeniedError
from scripted import clean

from dragoman.config.loading import BadSettings, load
from dragoman.core.catalog import Catalog
from dragoman.core.messages import JSONObject, MessagesRequest
from dragoman.core.pricing import nanodollars_of_calls
from dragoman.core.value_object import replace
from dragoman.runs.bounds import bound_of
from dragoman.wiring.checks import check_settings
from dragoman.wiring.claude_code import runtime_options

nothing_of_this_machine = pytest.fixture(autouse=True)(clean)
workspace = pytest.fixture(create_directory)


async def forbidden_error(running: RunningGateway, **fields: object) -> JSONObject:
    """Send a request that must be refused with 403, and return its error."""
    reply = await running.http.post("/chat/completions", json=chat_body("Hello", **fields))
    assert reply.status_code == 403
    error = cast("JSONObject", reply.json()["error"])
    assert error["type"] == "permission_error"
    assert running.simulator.calls == []
    return error


@pytest.mark.parametrize("model", [OLD, NEW])
async def test_streamed_agent(tmp_path: Path, workspace: Path, model: str) -> None:
    """Tool calls are streamed as `reasoning_content`, text as content; the usage of all calls comes last."""
    async with gateway(tmp_path, allow_dir=(workspace,), **UNCONFINED) as running:
        raw = await running.openai.chat.completions.with_raw_response.create(
            model=model,
            messages=user_message(bash("cat inside.txt")),
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"claude": {"mode": "agent", "workingDirectory": str(workspace)}},
        )
        chunks = [chunk async for chunk in raw.parse()]
        deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
        reasoning = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
        assert reasoning.startswith('Bash {"command":"cat inside.txt"')
        assert "→ TEXT OF THE FILE" in reasoning
        assert "".join(delta.content or "" for delta in deltas) == "The tool said: TEXT OF THE FILE"
        assert raw.headers["x-dragoman-path"] == "agent"
        assert chunks[-2].choices[0].finish_reason == "stop"
        usage = chunks[-1].usage
        assert usage
        assert usage.completion_tokens == sum(
            cast("int", call.usage["output_tokens"]) for call in running.simulator.calls
        )
        assert len(running.simulator.calls) == 2


async def test_plain_and_streamed_agents_are_equal(tmp_path: Path, workspace: Path) -> None:
    """With one allowed directory, the model's name is enough to start an agent."""
    async with gateway(tmp_path, allow_dir=(workspace,), **UNCONFINED) as running:
        request = {"model": f"{OLD}:agent", "messages": user_message(bash("cat inside.txt"))}
        plain = await running.openai.chat.completions.create(**request)  # type: ignore[call-overload]
        async with running.openai.chat.completions.stream(**request) as stream:  # type: ignore[arg-type]
            async for _ in stream:
                pass
            streamed = stream.current_completion_snapshot.choices[0]
        assert plain.model == OLD
        assert plain.choices[0].message.content == streamed.message.content
        assert plain.choices[0].message.reasoning_content == getattr(streamed.message, "reasoning_content", None)


async def test_conversation_with_an_agent_can_be_continued(tmp_path: Path, workspace: Path) -> None:
    """Its message, with its reasoning, can be sent back to an agent or to a plain chat."""
    async with gateway(tmp_path, allow_dir=(workspace,), **UNCONFINED) as running:
        messages = user_message(bash("cat inside.txt"))
        request = {"model": NEW, "messages": messages}
        first = await running.http.post("/chat/completions", json={**request, "claude": {"mode": "agent"}})
        answer = first.json()["choices"][0]["message"]
        for field in ({"mode": "agent"}, {"mode": "chat"}):
            next_request = {"model": NEW, "messages": [*messages, answer, *user_message("And now?")], "claude": field}
            reply = await running.http.post("/chat/completions", json=next_request)
            assert reply.status_code == 200
            assert reply.json()["choices"][0]["message"]["content"] == "You said: And now?"


async def test_agent_in_responses(tmp_path: Path, workspace: Path) -> None:
    """The Responses dialect has agents too."""
    async with gateway(tmp_path, allow_dir=(workspace,), **UNCONFINED) as running:
        response = await running.openai.responses.create(
            model=OLD,
            input=bash("cat inside.txt"),
            reasoning={"summary": "auto"},
            extra_body={"claude": {"mode": "agent"}},
        )
        assert response.output_text == "The tool said: TEXT OF THE FILE"
        assert "cat inside.txt" in str(response.output[0])


async def test_agents_are_off_by_default(tmp_path: Path) -> None:
    """The error names the setting, and no process is started."""
    async with gateway(tmp_path) as running:
        error = await forbidden_error(running, claude={"mode": "agent"})
        assert error["code"] == "agents_off"
        assert "--allow-dir" in str(error["message"])
        with pytest.raises(PermissionDeniedError):
            await running.openai.chat.completions.create(model="sonnet:agent", messages=user_message("Hello"))


async def test_agents_can_be_forbidden_for_a_key(tmp_path: Path, workspace: Path) -> None:
    """The key may still send plain requests."""
    async with gateway(tmp_path, allow_dir=(workspace,), **UNCONFINED, api_key="secret", agents=False) as running:
        running.http.headers["authorization"] = "Bearer secret"
        error = await forbidden_error(running, claude={"mode": "agent"})
        assert error["code"] == "agents_not_allowed"
        assert (await running.http.post("/chat/completions", json=chat_body("Hello"))).status_code == 200


async def test_directory_and_permission_mode_must_be_allowed(tmp_path: Path, workspace: Path) -> None:
    """Any other is refused."""
    async with gateway(tmp_path, allow_dir=(workspace,), **UNCONFINED) as running:
        assert (await forbidden_error(running, claude={"working_directory": "/etc"}))["code"] == "directory_not_allowed"
        mode = {"permission_mode": "bypassPermissions"}
        assert (await forbidden_error(running, claude=mode))["code"] == "permission_mode_not_allowed"


async def test_disconnect_ends_the_commands_of_an_agent(tmp_path: Path, workspace: Path) -> None:
    """The client disconnects while a command runs."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    async with gateway(tmp_path, allow_dir=(workspace,), agent_boundary=False, allow_tool=("Bash",)) as running:
        command = f"echo $$ > {fifo}; exec perl -e 'sleep 3600'"
        request = chat_body(bash(command), claude={"mode": "agent"}, stream=True)
        asking = asyncio.create_task(running.http.post("/chat/completions", json=request))
        watched = WatchedProcess(int(await with_timeout(asyncio.to_thread(fifo.read_text))))
        asking.cancel()
        await watched.exited()


async def test_a_budget_stops_an_agent_before_the_call_that_it_cannot_pay(tmp_path: Path, workspace: Path) -> None:
    """It gets 429 `insufficient_quota`. What was done is kept, and charged call by call."""
    request = {"model": OLD, "messages": user_message(bash("touch done.txt")), "claude": {"mode": "agent"}}
    settings = {"allow_dir": (workspace,), "agent_boundary": False, "allow_tool": ("Bash",)}
    async with gateway(tmp_path / "free", **settings) as running:
        assert (await running.http.post("/chat/completions", json=request)).status_code == 200
        first, second = running.simulator.calls
        least = replace(bound_of(cast("MessagesRequest", first.body), Catalog().resolve(OLD).model), output=1100)
        cost = nanodollars_of_calls([first.usage], OLD), nanodollars_of_calls([second.usage], OLD)
    (workspace / "done.txt").unlink()
    assert cost[0] > least.nanodollars // 10
    budget = f"{Decimal(least.nanodollars + cost[0] // 2).scaleb(-9)}usd/month"
    async with gateway(tmp_path / "limited", **settings, budget=(budget,)) as running:
        refused = await running.http.post("/chat/completions", json=request)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")
        assert (workspace / "done.txt").exists()
        [call] = running.simulator.calls
        total = (await running.http.get(f"{running.url}/admin/usage")).json()["total"]
        assert total["nanodollars"] == nanodollars_of_calls([call.usage], OLD)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"allow_dir": ("{tmp}/missing",)}, "is not a directory"),
        ({"allow_dir": ("{tmp}",)}, "gateway's own files"),
    ],
)
def test_unsafe_settings_are_refused(tmp_path: Path, workspace: Path, given: dict[str, object], message: str) -> None:
    """Before anything starts."""
    assert workspace.is_dir()
    dirs = [path.format(tmp=tmp_path) for path in cast("tuple[str, ...]", given["allow_dir"])]
    settings = load({**given, "allow_dir": dirs, "state_dir": tmp_path / "state"}, env_file=None)
    with pytest.raises(BadSettings, match=message):
        check_settings(settings)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"signed_in": True, "claude_config_dir": "{workspace}/.claude"}, "your sign-in"),
        ({"api_key_file": "{workspace}/key"}, "the gateway's key"),
        ({"keys": {"app": {"api_key_file": "{workspace}/key"}}}, "the key of the client `app`"),
        ({"upstreams": {"one": {"backend": "runtime", "api_key_file": "{workspace}/key"}}}, "of the upstream `one`"),
        ({"log_file": "{workspace}/link/log"}, "the log"),
        ({"trace_file": "{workspace}/trace"}, "the trace file"),
    ],
)
def test_agents_may_not_work_in_a_directory_with_secrets(
    workspace: Path, given: dict[str, object], message: str
) -> None:
    """They could read the secrets and tell them to a client."""
    (workspace / "key").write_text("a-key")
    (workspace / "link").symlink_to(workspace)
    files = json.loads(json.dumps(given).replace("{workspace}", str(workspace)))
    settings = {"allow_dir": (workspace,), "state_dir": workspace.parent / "state", **files}
    with pytest.raises(BadSettings, match=message):
        check_settings(load(settings, env_file=None))


def test_agents_need_a_boundary(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without bubblewrap, the gateway starts only if the operator accepts agents without a boundary."""
    monkeypatch.setenv("PATH", str(workspace))
    given: dict[str, object] = {"allow_dir": (workspace,), "state_dir": workspace.parent / "state"}
    with pytest.raises(BadSettings, match=r"bubblewrap is not installed.*--no-agent-boundary"):
        check_settings(load(given, env_file=None))
    accepted = load({**given, "agent_boundary": False}, env_file=None)
    check_settings(accepted)
    assert runtime_options(accepted).agents.boundary is None


def test_agents_need_the_runtime_backend(workspace: Path) -> None:
    """Other backends are refused, unless one of several upstreams is the runtime."""
    given: dict[str, object] = {"allow_dir": (workspace,), "backend": "api", "agent_boundary": False}
    with pytest.raises(BadSettings, match="--backend runtime"):
        check_settings(load(given, env_file=None))
    upstreams = {"direct": {"backend": "api", "api_key": "k"}, "claude": {"backend": "runtime", "api_key": "k"}}
    check_settings(load({**given, "upstreams": upstreams}, env_file=None))


def test_root_may_not_bypass_permissions(tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is in a container for that; an ordinary user may."""
    modes = {
        "allow_dir": (workspace,),
        "allow_permission_mode": ("bypassPermissions",),
        "state_dir": tmp_path / "state",
    }
    monkeypatch.setenv("IS_SANDBOX", "1")
    assert runtime_options(load(modes, env_file=None)).agents.modes == {"bypassPermissions"}
    monkeypatch.delenv("IS_SANDBOX")
    if os.geteuid() == 0:
        with pytest.raises(BadSettings, match="ordinary user"):
            check_settings(load(modes, env_file=None))
