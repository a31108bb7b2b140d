"""The backend `cli`: what the real command is told, what is refused, and what becomes of its processes and files."""

import asyncio
import json
import os
import shlex
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from backend_harness import assistant, command_line, stand_in, text, user, without_marks
from gateways import WatchedProcess, with_timeout
from unexpected_frames import UNEXPECTED

from dragoman.backends.claude_cli.output import Outputs
from dragoman.backends.claude_cli.process import flags_in
from dragoman.core.errors import Forbidden, GatewayError, TimedOut, UnsupportedFeature, UpstreamFailed
from dragoman.core.messages import AgentTask, Block, Message, RequestOptions
from dragoman.core.redaction import Redactor

RESULT = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "result": "PONG",
    "session_id": "a-b",
    "usage": {"input_tokens": 3, "output_tokens": 2},
}
STREAMED = ("--include-partial-messages",)


async def test_one_message_and_a_system_prompt(tmp_path: Path) -> None:
    """They arrive as they were sent, in one call; no tool is offered, and nothing is left on disk."""
    async with command_line(tmp_path) as harness:
        answer = await harness.ask([user("Reply with exactly: PÖNG")], system=[text("Be brief.")])
        assert answer.text == "PÖNG"
        assert answer.path == "cli"
        [call] = harness.calls
        assert without_marks(call.body["messages"]) == [user("Reply with exactly: PÖNG")]
        assert json.dumps(call.body["system"]).count("Be brief.") == 1
        assert "CWD" not in json.dumps(call.body["system"])
        assert not call.body.get("tools")
        assert "thinking" not in call.body
        assert harness.files == []


async def test_a_long_text_goes_whole(tmp_path: Path) -> None:
    """Longer than any command line may be."""
    async with command_line(tmp_path) as harness:
        words = [user("word " * 60_000 + "\nReply with exactly: PONG")]
        assert (await harness.ask(words)).text == "PONG"
        [call] = harness.calls
        assert without_marks(call.body["messages"]) == words


async def test_an_answer_is_cut_where_asked(tmp_path: Path) -> None:
    """By the API, in one call; the command is stopped before it asks on."""
    async with command_line(tmp_path) as harness:
        answer = await harness.ask([user("Count to 300")], max_tokens=100)
        assert answer.accumulated.message["stop_reason"] == "max_tokens"
        assert harness.calls[0].body["max_tokens"] == 100


PICTURE: Block = {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}
TOOL = {"name": "t", "input_schema": {"type": "object"}}


@pytest.mark.parametrize(
    ("messages", "more", "param"),
    [
        ([user("One"), assistant("Two"), user("Three")], {}, "messages"),
        ([user("One"), assistant("Two")], {}, "messages"),
        ([user(PICTURE, "What is it?")], {}, "messages[0].content[0]"),
        ([user("/clear")], {}, "messages[0].content"),
        ([user("What is in @/etc/passwd?")], {}, "messages[0].content"),
        ([user("What is in @x/../../../etc/passwd?")], {}, "messages[0].content"),
        ([user("Hi")], {"tools": [TOOL]}, "tools"),
        ([user("Hi")], {"temperature": 0.5}, "temperature"),
        ([user("Hi")], {"stop_sequences": ["END"]}, "stop_sequences"),
        ([user("Hi")], {"thinking": {"type": "enabled", "budget_tokens": 2000}}, "thinking"),
        ([user("Hi")], {"output_config": {"format": {"type": "json_schema", "schema": {}}}}, "output_config.format"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_it_cannot_do_is_refused_by_name(
    tmp_path: Path, messages: list[Message], more: dict[str, Any], param: str
) -> None:
    """Before any process of a run is started; nothing is flattened."""
    async with command_line(tmp_path) as harness:
        with pytest.raises(UnsupportedFeature) as caught:
            await harness.ask(messages, **more)
        assert caught.value.param == param
        assert harness.calls == []
        assert harness.files == []


async def test_no_agents(tmp_path: Path) -> None:
    """They are the runtime's."""
    async with command_line(tmp_path) as harness:
        request = harness.request([user("Hi")])
        wish = type(request)(request.id, request.model, request.body, RequestOptions(agent=AgentTask()))
        with pytest.raises(Forbidden):
            await anext(harness.backend.run(wish))


async def test_an_older_installation_answers_whole(tmp_path: Path) -> None:
    """Without streaming; it is told of no option that it does not name, and of nothing that people write."""
    arguments = tmp_path / "arguments"
    program = f"""printf '%s\\n' "$@" > {arguments}; cat > {tmp_path}/stdin; echo {shlex.quote(json.dumps(RESULT))}"""
    async with command_line(tmp_path, command=stand_in(tmp_path, program)) as harness:
        answer = await harness.ask([user("Hello there")], max_tokens=5)
        assert answer.text == "PONG"
        assert answer.accumulated.message["stop_reason"] == "end_turn"
        assert answer.accumulated.message["usage"]["output_tokens"] == 2
        assert [warning.param for warning in answer.started.warnings] == ["max_tokens"]
        told = arguments.read_text().splitlines()
        assert told[:3] == ["--print", "--model", "claude-sonnet-4-5"]
        assert "--tools" not in told
        assert "Bash" in told[told.index("--disallowedTools") + 1]
        assert "Hello" not in arguments.read_text()
        assert (tmp_path / "stdin").read_text() == "Hello there"
        with pytest.raises(UnsupportedFeature) as caught:
            await harness.ask([user("Hi")], system=[text("Be brief.")])
        assert caught.value.param == "system"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("exit 3", "process failed"),
        ("echo rubbish", "no JSON object"),
        ("cat; echo '[1]'", "no JSON object"),
        ('echo \'{"type":"system"}\'', "process failed"),
        ("kill -s KILL $$", "process failed"),
    ],
)
@pytest.mark.parametrize("flags", [(), STREAMED], ids=["whole", "streamed"])
async def test_what_goes_wrong_is_one_clear_error(
    tmp_path: Path, program: str, words: str, flags: tuple[str, ...]
) -> None:
    """Dead, garbled or cut short; what it printed is kept for whoever looks into it."""
    async with command_line(tmp_path, command=stand_in(tmp_path, f"echo why >&2; {program}", flags)) as harness:
        with pytest.raises(UpstreamFailed, match=words):
            await harness.ask([user("Hi")])
        out, err = sorted(harness.files, key=lambda path: path.suffix, reverse=True)
        assert (out.suffix, err.suffix) == (".stdout", ".stderr")
        assert out.stat().st_mode & 0o777 == 0o600


@UNEXPECTED
async def test_an_unexpected_frame_fails_its_run_at_once(tmp_path: Path, frame: object) -> None:
    """The run does not wait for the silence limit, and the process is gone."""
    program = f"echo {shlex.quote(json.dumps(frame))}; exec sleep 3600"
    async with command_line(tmp_path, command=stand_in(tmp_path, program, STREAMED)) as harness:
        with pytest.raises(UpstreamFailed, match="process failed") as caught:
            await with_timeout(harness.ask([user("Hi")]))
        assert caught.value.code == "runtime_failed"
        assert harness.backend.status()["processes"] == {"all": 0}


@pytest.mark.parametrize("help_text", ["exit 1", "echo some other program", "exec sleep 0"])
async def test_a_command_that_is_no_claude(tmp_path: Path, help_text: str) -> None:
    """Is said to be none, with what to set."""
    command = tmp_path / "claude"
    command.write_text(f"#!/bin/sh\n{help_text}\n")
    command.chmod(0o700)
    async with command_line(tmp_path, command=command) as harness:
        with pytest.raises(UpstreamFailed, match="--claude-command") as caught:
            await harness.ask([user("Hi")])
        assert caught.value.code == "runtime_missing"


async def test_a_silent_one_is_given_up(tmp_path: Path) -> None:
    """Its whole group ends with it."""
    command = stand_in(tmp_path, "sleep 3600 & cat > /dev/null; wait")
    async with command_line(tmp_path, command=command, silence=0.5) as harness:
        with pytest.raises(TimedOut):
            await harness.ask([user("Hi")])
        assert harness.backend.status()["processes"] == {"all": 0}


async def test_a_run_that_is_given_up_ends_its_group(tmp_path: Path) -> None:
    """The command, and what it started."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = stand_in(tmp_path, f"cat > /dev/null; sh -c 'echo $$ > {fifo}; exec sleep 3600' & wait")
    async with command_line(tmp_path, command=command) as harness, aclosing(_asking(harness)) as running:
        assert (await anext(running)).path == "cli"
        waiting = asyncio.create_task(anext(running))
        child = WatchedProcess(int(await with_timeout(asyncio.to_thread(fifo.read_text))))
        waiting.cancel()
        await asyncio.wait([waiting])
        await child.exited()


def _asking(harness: Any) -> Any:
    return harness.backend.run(harness.request([user("Hi")]))


@pytest.mark.parametrize(("keep", "files"), [("off", 0), ("failed", 0), ("all", 2)])
async def test_output_is_kept_as_the_owner_wants(tmp_path: Path, keep: str, files: int) -> None:
    """Of a run that went well: by default none."""
    command = stand_in(tmp_path, f"cat > /dev/null; echo {shlex.quote(json.dumps(RESULT))}")
    async with command_line(tmp_path, command=command, keep=keep) as harness:
        await harness.ask([user("Hi")])
        assert len(harness.files) == files


async def test_no_secret_is_in_what_is_kept(tmp_path: Path) -> None:
    """Neither the key that the command has, nor one by its shape or its name; nor a piece of an answer."""
    piece = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "half a se"}}
    said = [{"type": "stream_event", "event": piece}, {"type": "system", "api_key": "Pl4nted"}]
    printed = "".join(f"echo {shlex.quote(json.dumps(frame))}; " for frame in said)
    program = f"""cat > /dev/null; {printed} echo "$ANTHROPIC_API_KEY and sk-ant-api03-Pl4nted-0123" >&2
printf 'password=Pl4nted' >&2; exit 1"""
    command = stand_in(tmp_path, program, STREAMED)
    async with command_line(tmp_path, command=command, api_key="the-owners-key") as harness:
        with pytest.raises(UpstreamFailed):
            await harness.ask([user("Hi")])
        err, out = sorted(path.read_text() for path in harness.files)
        assert "the-owners-key" not in err
        assert "Pl4nted" not in err + out
        assert "half a se" not in out
        assert err.splitlines() == ["[redacted] and [redacted]", "password=[redacted]"]
        assert "text_delta" in out


async def test_what_is_said_before_it_is_asked_is_heard(tmp_path: Path) -> None:
    """A command may answer before it has read anything."""
    program = f"echo {shlex.quote(json.dumps(RESULT))}; cat > /dev/null"
    async with command_line(tmp_path, command=stand_in(tmp_path, program)) as harness:
        for _ in range(5):
            assert (await harness.ask([user("Hi")])).text == "PONG"


async def test_system_prompts_of_killed_gateways_are_removed(tmp_path: Path) -> None:
    """At the next start; those of one that lives are left alone."""
    prompts = tmp_path / "state" / "prompts"
    prompts.mkdir(parents=True)
    (prompts / f"{os.getpid()}-run").write_text("Be brief.")
    (prompts / f"{os.getppid()}-run").write_text("Be brief.")
    async with command_line(tmp_path) as harness:
        assert [path.name for path in harness.files] == [f"{os.getppid()}-run"]


def test_old_output_goes(tmp_path: Path) -> None:
    """By age and by number, whole runs at a time."""
    now = 1_000_000.0
    outputs = Outputs(tmp_path, most=2, age=100, redactor=Redactor(), clock=lambda: now)
    outputs.prepare()
    for run, age in (("a", 500), ("b", 30), ("c", 20), ("d", 10)):
        output = outputs.begin(run)
        output.write(1, b"printed")
        output.close(keep=True)
        for path in outputs.folder.glob(f"{run}.*"):
            os.utime(path, (now - age, now - age))
    outputs.prune()
    assert sorted(path.name for path in outputs.folder.iterdir()) == ["c.stderr", "c.stdout", "d.stderr", "d.stdout"]


def test_what_a_help_text_names() -> None:
    """Both of `--a[-b]`."""
    assert flags_in("Use --print, or --system-prompt[-file] <x>.") == {
        "--print",
        "--system-prompt",
        "--system-prompt-file",
    }


async def test_an_api_failure_of_an_older_installation(tmp_path: Path) -> None:
    """Its words are the API's."""
    failed = {**RESULT, "is_error": True, "result": "Credit balance is too low", "api_error_status": 402}
    command = stand_in(tmp_path, f"cat > /dev/null; echo {shlex.quote(json.dumps(failed))}; exit 1")
    async with command_line(tmp_path, command=command) as harness:
        with pytest.raises(GatewayError, match="Credit balance"):
            await harness.ask([user("Hi")])
