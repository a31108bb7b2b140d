"""Agents through the whole gateway and the real runtime, by the official client and over plain HTTP."""

import asyncio
import os
from pathlib import Path
from typing import cast

import pytest
from agent_harness import a_place, bash
from gateways import NEW, OLD, Running, Watched, body, gateway, question, soon
from openai import PermissionDeniedError
from scripted import clean

from dragoman.config.loading import BadSettings, load
from dragoman.core.messages import JSONObject
from dragoman.wiring.backends import runtime_options
from dragoman.wiring.checks import check_settings

nothing_of_this_machine = pytest.fixture(autouse=True)(clean)
place = pytest.fixture(a_place)


async def refused(running: Running, **more: object) -> JSONObject:
    """A 403, and what it says."""
    reply = await running.http.post("/chat/completions", json=body("Hello", **more))
    assert reply.status_code == 403
    error = cast("JSONObject", reply.json()["error"])
    assert error["type"] == "permission_error"
    assert running.simulator.calls == []
    return error


@pytest.mark.parametrize("model", [OLD, NEW])
async def test_streamed(tmp_path: Path, place: Path, model: str) -> None:
    """What it does comes as `reasoning_content`, what it says as content, the usage of all calls last."""
    async with gateway(tmp_path, allow_dir=(place,)) as running:
        raw = await running.openai.chat.completions.with_raw_response.create(
            model=model,
            messages=question(bash("cat inside.txt")),
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"claude": {"mode": "agent", "workingDirectory": str(place)}},
        )
        chunks = [chunk async for chunk in raw.parse()]
        deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
        done = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
        assert done.startswith('Bash {"command":"cat inside.txt"')
        assert "→ WHAT STANDS INSIDE" in done
        assert "".join(delta.content or "" for delta in deltas) == "The tool said: WHAT STANDS INSIDE"
        assert raw.headers["x-dragoman-path"] == "agent"
        assert chunks[-2].choices[0].finish_reason == "stop"
        usage = chunks[-1].usage
        assert usage
        assert usage.completion_tokens == sum(
            cast("int", call.usage["output_tokens"]) for call in running.simulator.calls
        )
        assert len(running.simulator.calls) == 2


async def test_plain_and_streamed_are_the_same(tmp_path: Path, place: Path) -> None:
    """And a model's name is enough where there is one directory."""
    async with gateway(tmp_path, allow_dir=(place,)) as running:
        asked = {"model": f"{OLD}:agent", "messages": question(bash("cat inside.txt"))}
        plain = await running.openai.chat.completions.create(**asked)  # type: ignore[call-overload]
        async with running.openai.chat.completions.stream(**asked) as stream:  # type: ignore[arg-type]
            async for _ in stream:
                pass
            streamed = stream.current_completion_snapshot.choices[0]
        assert plain.model == OLD
        assert plain.choices[0].message.content == streamed.message.content
        assert plain.choices[0].message.reasoning_content == getattr(streamed.message, "reasoning_content", None)


async def test_the_conversation_goes_on(tmp_path: Path, place: Path) -> None:
    """An agent's answer can be sent back, what it did as well, and asked on, by an agent or without."""
    async with gateway(tmp_path, allow_dir=(place,)) as running:
        messages = question(bash("cat inside.txt"))
        asked = {"model": NEW, "messages": messages}
        first = await running.http.post("/chat/completions", json={**asked, "claude": {"mode": "agent"}})
        said = first.json()["choices"][0]["message"]
        for field in ({"mode": "agent"}, {"mode": "chat"}):
            again = {"model": NEW, "messages": [*messages, said, *question("And now?")], "claude": field}
            reply = await running.http.post("/chat/completions", json=again)
            assert reply.status_code == 200
            assert reply.json()["choices"][0]["message"]["content"] == "You said: And now?"


async def test_responses(tmp_path: Path, place: Path) -> None:
    """The other dialect has them too."""
    async with gateway(tmp_path, allow_dir=(place,)) as running:
        made = await running.openai.responses.create(
            model=OLD,
            input=bash("cat inside.txt"),
            reasoning={"summary": "auto"},
            extra_body={"claude": {"mode": "agent"}},
        )
        assert made.output_text == "The tool said: WHAT STANDS INSIDE"
        assert "cat inside.txt" in str(made.output[0])


async def test_off_unless_the_owner_turns_them_on(tmp_path: Path) -> None:
    """With what to set, and no process is started for it."""
    async with gateway(tmp_path) as running:
        error = await refused(running, claude={"mode": "agent"})
        assert error["code"] == "agents_off"
        assert "--allow-dir" in str(error["message"])
        with pytest.raises(PermissionDeniedError):
            await running.openai.chat.completions.create(model="sonnet:agent", messages=question("Hello"))


async def test_a_key_may_be_barred(tmp_path: Path, place: Path) -> None:
    """Its holder may ask, but start no agents."""
    async with gateway(tmp_path, allow_dir=(place,), api_key="secret", agents=False) as running:
        running.http.headers["authorization"] = "Bearer secret"
        error = await refused(running, claude={"mode": "agent"})
        assert error["code"] == "agents_not_allowed"
        assert (await running.http.post("/chat/completions", json=body("Hello"))).status_code == 200


async def test_outside_and_beyond(tmp_path: Path, place: Path) -> None:
    """A directory or a mode that the owner did not name."""
    async with gateway(tmp_path, allow_dir=(place,)) as running:
        assert (await refused(running, claude={"working_directory": "/etc"}))["code"] == "directory_not_allowed"
        mode = {"permission_mode": "bypassPermissions"}
        assert (await refused(running, claude=mode))["code"] == "permission_mode_not_allowed"


async def test_a_client_that_leaves_ends_what_its_agent_started(tmp_path: Path, place: Path) -> None:
    """Its commands, too."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    async with gateway(tmp_path, allow_dir=(place,), allow_tool=("Bash",)) as running:
        command = f"echo $$ > {fifo}; exec perl -e 'sleep 3600'"
        asked = body(bash(command), claude={"mode": "agent"}, stream=True)
        asking = asyncio.create_task(running.http.post("/chat/completions", json=asked))
        watched = Watched(int(await soon(asyncio.to_thread(fifo.read_text))))
        asking.cancel()
        await watched.gone()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"allow_dir": ("{tmp}/missing",)}, "is not a directory"),
        ({"allow_dir": ("{tmp}",)}, "gateway's own files"),
    ],
)
def test_settings_that_would_not_be_safe(tmp_path: Path, place: Path, given: dict[str, object], why: str) -> None:
    """Are refused before anything starts."""
    assert place.is_dir()
    dirs = [path.format(tmp=tmp_path) for path in cast("tuple[str, ...]", given["allow_dir"])]
    settings = load({**given, "allow_dir": dirs, "state_dir": tmp_path / "state"}, env_file=None)
    with pytest.raises(BadSettings, match=why):
        check_settings(settings)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"signed_in": True, "claude_config_dir": "{place}/.claude"}, "your sign-in"),
        ({"api_key_file": "{place}/key"}, "the gateway's key"),
    ],
)
def test_agents_do_not_work_where_secrets_are(place: Path, given: dict[str, object], why: str) -> None:
    """They could read them, and tell them to whoever asks."""
    (place / "key").write_text("a-key")
    files = {name: value.format(place=place) if isinstance(value, str) else value for name, value in given.items()}
    ours = {"allow_dir": (place,), "state_dir": place.parent / "state", **files}
    with pytest.raises(BadSettings, match=why):
        check_settings(load(ours, env_file=None))


def test_only_claude_code_has_agents(place: Path) -> None:
    """Another backend is refused, unless one of several upstreams is it."""
    given: dict[str, object] = {"allow_dir": (place,), "backend": "api"}
    with pytest.raises(BadSettings, match="--backend runtime"):
        check_settings(load(given, env_file=None))
    upstreams = {"direct": {"backend": "api", "api_key": "k"}, "claude": {"backend": "runtime", "api_key": "k"}}
    check_settings(load({**given, "upstreams": upstreams}, env_file=None))


def test_anything_is_not_for_root(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless a container is made for it; an ordinary user may."""
    modes = {"allow_dir": (place,), "allow_permission_mode": ("bypassPermissions",), "state_dir": tmp_path / "state"}
    monkeypatch.setenv("IS_SANDBOX", "1")
    assert runtime_options(load(modes, env_file=None)).agents.modes == {"bypassPermissions"}
    monkeypatch.delenv("IS_SANDBOX")
    if os.geteuid() == 0:
        with pytest.raises(BadSettings, match="ordinary user"):
            check_settings(load(modes, env_file=None))
