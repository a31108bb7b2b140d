"""The backend `cli` over the real command and over scripted ones: input, refusals, processes and files."""

import asyncio
import json
import os
import shlex
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from backend_harness import Cli, assistant, command_line, stand_in, text, user, without_marks
from file_watch import file_operations
from gateways import WatchedProcess, with_timeout
from unexpected_frames import UNEXPECTED, error_code

from dragoman.backends.claude_cli.output import Output, Outputs
from dragoman.backends.claude_cli.process import parse_flags
from dragoman.core.errors import Forbidden, GatewayError, TimedOut, UnsupportedFeature, UpstreamFailed
from dragoman.core.events import Event
from dragoman.core.messages import AgentTask, Block, Message, RequestOptions
from dragoman.core.redaction import Redactor

RESULT: dict[str, object] = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "result": "PONG",
    "session_id": "a-b",
    "usage": {"input_tokens": 3, "output_tokens": 2},
}
STREAMING = ("--include-partial-messages",)
IMAGE: Block = {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}
TOOL = {"name": "t", "input_schema": {"type": "object"}}


def prints(frame: object, then: str = "") -> str:
    """Return a shell program that reads its input and prints a frame."""
    return f"cat > /dev/null; echo {shlex.quote(json.dumps(frame))}; {then}"


def start(harness: Cli) -> AsyncGenerator[Event, None]:
    """Return the events of a run."""
    return harness.backend.run(harness.request([user("Hi")]))


async def test_a_message_and_a_system_prompt_arrive(tmp_path: Path) -> None:
    """They arrive as they were sent, in one call. No tool is offered, and no file remains."""
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


async def test_a_long_text_arrives_complete(tmp_path: Path) -> None:
    """The text is longer than a command line may be."""
    async with command_line(tmp_path) as harness:
        messages = [user("word " * 60_000 + "\nReply with exactly: PONG")]
        assert (await harness.ask(messages)).text == "PONG"
        [call] = harness.calls
        assert without_marks(call.body["messages"]) == messages


async def test_max_tokens_cuts_the_response(tmp_path: Path) -> None:
    """The API cuts it, in one call. The command is killed before its next call."""
    async with command_line(tmp_path) as harness:
        answer = await harness.ask([user("Count to 300")], max_tokens=100)
        assert answer.accumulated.message["stop_reason"] == "max_tokens"
        assert harness.calls[0].body["max_tokens"] == 100


UNSUPPORTED: list[tuple[list[Message], dict[str, Any], str]] = [
    ([user("One"), assistant("Two"), user("Three")], {}, "messages"),
    ([user("One"), assistant("Two")], {}, "messages"),
    ([user(IMAGE, "What is it?")], {}, "messages[0].content[0]"),
    ([user("/clear")], {}, "messages[0].content"),
    ([user("What is in @/etc/passwd?")], {}, "messages[0].content"),
    ([user("What is in @x/../../../etc/passwd?")], {}, "messages[0].content"),
    ([user("Hi")], {"tools": [TOOL]}, "tools"),
    ([user("Hi")], {"temperature": 0.5}, "temperature"),
    ([user("Hi")], {"stop_sequences": ["END"]}, "stop_sequences"),
    ([user("Hi")], {"thinking": {"type": "enabled", "budget_tokens": 2000}}, "thinking"),
    ([user("Hi")], {"output_config": {"format": {"type": "json_schema", "schema": {}}}}, "output_config.format"),
]


async def test_unsupported_input_is_refused_by_name(tmp_path: Path) -> None:
    """The refusal comes before the process of a run starts. Earlier turns are not flattened."""
    async with command_line(tmp_path) as harness:
        for messages, fields, param in UNSUPPORTED:
            with pytest.raises(UnsupportedFeature) as caught:
                await harness.ask(messages, **fields)
            assert caught.value.param == param
            assert harness.calls == []
            assert harness.files == []


async def test_agents_are_refused(tmp_path: Path) -> None:
    """Only the backend `runtime` has agents."""
    async with command_line(tmp_path) as harness:
        request = harness.request([user("Hi")])
        for_agent = type(request)(request.id, request.model, request.body, RequestOptions(agent=AgentTask()))
        with pytest.raises(Forbidden):
            await anext(harness.backend.run(for_agent))


async def test_an_old_installation_answers_without_streaming(tmp_path: Path) -> None:
    """It gets no option that its help does not name, and nothing of the request on the command line."""
    arguments = tmp_path / "arguments"
    program = f"""printf '%s\\n' "$@" > {arguments}; cat > {tmp_path}/stdin; echo {shlex.quote(json.dumps(RESULT))}"""
    async with command_line(tmp_path, command=stand_in(tmp_path, program)) as harness:
        answer = await harness.ask([user("Hello there")], max_tokens=5)
        assert answer.text == "PONG"
        assert answer.accumulated.message["stop_reason"] == "end_turn"
        assert answer.accumulated.message["usage"]["output_tokens"] == 2
        assert [warning.param for warning in answer.started.warnings] == ["max_tokens"]
        argv = arguments.read_text().splitlines()
        assert argv[:3] == ["--print", "--model", "claude-sonnet-4-5"]
        assert "--tools" not in argv
        assert "Bash" in argv[argv.index("--disallowedTools") + 1]
        assert "Hello" not in arguments.read_text()
        assert (tmp_path / "stdin").read_text() == "Hello there"
        with pytest.raises(UnsupportedFeature) as caught:
            await harness.ask([user("Hi")], system=[text("Be brief.")])
        assert caught.value.param == "system"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("exit 3", "process failed"),
        ("echo rubbish", "no JSON object"),
        ("cat; echo '[1]'", "no JSON object"),
        ('echo \'{"type":"system"}\'', "process failed"),
        ("kill -s KILL $$", "process failed"),
    ],
)
@pytest.mark.parametrize("flags", [(), STREAMING], ids=["whole", "streamed"])
async def test_a_failed_process_is_one_clear_error(
    tmp_path: Path, program: str, message: str, flags: tuple[str, ...]
) -> None:
    """The process is dead, or its output is garbled or cut. The output is kept for the operator."""
    async with command_line(tmp_path, command=stand_in(tmp_path, f"echo why >&2; {program}", flags)) as harness:
        with pytest.raises(UpstreamFailed, match=message):
            await harness.ask([user("Hi")])
        out, err = sorted(harness.files, key=lambda path: path.suffix, reverse=True)
        assert (out.suffix, err.suffix) == (".stdout", ".stderr")
        assert out.stat().st_mode & 0o777 == 0o600


async def assert_fails_at_once(tmp_path: Path, frame: object, flags: tuple[str, ...]) -> None:
    """Check that a run fails on a frame, without waiting for the silence limit, and that the process is gone."""
    command = stand_in(tmp_path, prints(frame, "exec sleep 3600"), flags)
    async with command_line(tmp_path, command=command) as harness:
        with pytest.raises(UpstreamFailed, match=r"process failed|could not be read") as caught:
            await with_timeout(harness.ask([user("Hi")]))
        assert caught.value.code == error_code(frame)
        assert harness.backend.status()["processes"] == {"all": 0}


@UNEXPECTED
async def test_an_unexpected_frame_fails_its_run_at_once(tmp_path: Path, frame: object) -> None:
    """The run does not wait for the silence limit, and the process is gone."""
    await assert_fails_at_once(tmp_path, frame, STREAMING)


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "result"},
        {"type": "result", "subtype": "success"},
        {**RESULT, "result": ["PONG"]},
        {**RESULT, "usage": []},
        {**RESULT, "usage": {"input_tokens": "3"}},
        {**RESULT, "stop_reason": 1},
        ["no object"],
    ],
    ids=lambda frame: json.dumps(frame)[-50:],
)
async def test_an_unexpected_result_fails_its_run_at_once(tmp_path: Path, frame: object) -> None:
    """The same for an installation that prints only a result."""
    await assert_fails_at_once(tmp_path, frame, ())


@pytest.mark.parametrize("help_text", ["exit 1", "echo some other program", "exec sleep 0"])
async def test_a_command_that_is_not_claude_is_an_error(tmp_path: Path, help_text: str) -> None:
    """The error names the setting."""
    command = tmp_path / "claude"
    command.write_text(f"#!/bin/sh\n{help_text}\n")
    command.chmod(0o700)
    async with command_line(tmp_path, command=command) as harness:
        with pytest.raises(UpstreamFailed, match="--claude-command") as caught:
            await harness.ask([user("Hi")])
        assert caught.value.code == "runtime_missing"


async def test_a_silent_process_times_out(tmp_path: Path) -> None:
    """Its whole process group ends."""
    command = stand_in(tmp_path, "sleep 3600 & cat > /dev/null; wait")
    async with command_line(tmp_path, command=command, silence=0.5) as harness:
        with pytest.raises(TimedOut):
            await harness.ask([user("Hi")])
        assert harness.backend.status()["processes"] == {"all": 0}


async def test_closing_a_run_ends_its_process_group(tmp_path: Path) -> None:
    """The command ends, and so do the processes that it started."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = stand_in(tmp_path, f"cat > /dev/null; sh -c 'echo $$ > {fifo}; exec sleep 3600' & wait")
    async with command_line(tmp_path, command=command) as harness, aclosing(start(harness)) as running:
        await anext(running)
        waiting = asyncio.create_task(anext(running))
        child = WatchedProcess(int(await with_timeout(asyncio.to_thread(fifo.read_text))))
        waiting.cancel()
        await asyncio.wait([waiting])
        await child.exited()


async def test_closing_the_backend_fails_its_runs(tmp_path: Path) -> None:
    """A run does not wait for the silence limit of a process that was killed."""
    command = stand_in(tmp_path, "cat > /dev/null; exec sleep 3600")
    async with command_line(tmp_path, command=command) as harness, aclosing(start(harness)) as running:
        await anext(running)
        waiting = asyncio.create_task(anext(running))
        await harness.backend.aclose()
        with pytest.raises(UpstreamFailed, match="it was stopped"):
            await with_timeout(waiting)


@pytest.mark.parametrize(("keep", "files"), [("off", 0), ("failed", 0), ("all", 2)])
async def test_output_is_kept_as_configured(tmp_path: Path, keep: str, files: int) -> None:
    """By default, the output of a successful run is not kept."""
    async with command_line(tmp_path, command=stand_in(tmp_path, prints(RESULT)), keep=keep) as harness:
        await harness.ask([user("Hi")])
        assert len(harness.files) == files


async def test_files_are_handled_off_the_event_loop(tmp_path: Path) -> None:
    """The loop's thread does not open, list or remove a file: neither at the start nor in a run."""
    state = tmp_path / "state"
    with file_operations(state) as operations:
        async with command_line(tmp_path, keep="all") as harness:
            await harness.ask([user("Reply with exactly: PONG")], system=[text("Be brief.")])
    assert operations == []
    assert len(list((state / "output").iterdir())) == 2


async def test_slow_files_do_not_block_the_event_loop(tmp_path: Path) -> None:
    """A pipe that is not read takes 64 KiB. The output is written as soon as it is read."""
    os.mkfifo(tmp_path / "run.stdout")
    may_read = threading.Event()

    def read() -> bytes:
        with (tmp_path / "run.stdout").open("rb") as file:
            may_read.wait()
            return file.read()

    reading = asyncio.create_task(asyncio.to_thread(read))
    output = await with_timeout(asyncio.to_thread(Output, tmp_path, "run", Redactor()))
    lines = b"printed\n" * 20_000
    output.write(1, lines)
    closing = asyncio.create_task(output.aclose(keep=True))
    may_read.set()
    await with_timeout(closing)
    assert await with_timeout(reading) == lines


async def test_output_that_cannot_be_written_is_not_an_error(tmp_path: Path) -> None:
    """The run continues without it."""
    (tmp_path / "run.stdout").symlink_to("/dev/full")
    output = Output(tmp_path, "run", Redactor())
    output.write(1, b"printed\n")
    await asyncio.sleep(0)
    output.write(2, b"printed\n")
    await output.aclose(keep=True)


async def test_kept_output_contains_no_secret(tmp_path: Path) -> None:
    """Neither the command's key, nor a secret by its form or its name, nor a part of a response."""
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "half a se"}}
    start = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    events = [{"type": "message_start", "message": {"id": "msg_1", "content": []}}, start, delta]
    frames: list[object] = [{"type": "stream_event", "event": event} for event in events]
    frames.append({"type": "system", "api_key": "Pl4nted"})
    printed = "".join(f"echo {shlex.quote(json.dumps(frame))}; " for frame in frames)
    program = f"""cat > /dev/null; {printed} echo "$ANTHROPIC_API_KEY and sk-ant-api03-Pl4nted-0123" >&2
printf 'password=Pl4nted' >&2; exit 1"""
    command = stand_in(tmp_path, program, STREAMING)
    async with command_line(tmp_path, command=command, api_key="the-owners-key") as harness:
        with pytest.raises(UpstreamFailed):
            await harness.ask([user("Hi")])
        err, out = sorted(path.read_text() for path in harness.files)
        assert "the-owners-key" not in err
        assert "Pl4nted" not in err + out
        assert "half a se" not in out
        assert err.splitlines() == ["[redacted] and [redacted]", "password=[redacted]"]
        assert "text_delta" in out


async def test_output_before_the_prompt_is_read(tmp_path: Path) -> None:
    """A command may answer before it has read its input."""
    program = f"echo {shlex.quote(json.dumps(RESULT))}; cat > /dev/null"
    async with command_line(tmp_path, command=stand_in(tmp_path, program)) as harness:
        for _ in range(5):
            assert (await harness.ask([user("Hi")])).text == "PONG"


async def test_system_prompts_of_killed_gateways_are_removed(tmp_path: Path) -> None:
    """The next start removes them, and leaves the files of a running gateway."""
    prompts = tmp_path / "state" / "prompts"
    prompts.mkdir(parents=True)
    (prompts / f"{os.getpid()}-run").write_text("Be brief.")
    (prompts / f"{os.getppid()}-run").write_text("Be brief.")
    async with command_line(tmp_path) as harness:
        assert [path.name for path in harness.files] == [f"{os.getppid()}-run"]


async def test_old_output_is_removed(tmp_path: Path) -> None:
    """Runs that are too old or too many are removed, both files at once."""
    now = 1_000_000.0
    outputs = Outputs(tmp_path, max_runs=2, max_age=100, redactor=Redactor(), clock=lambda: now)
    outputs.prepare()
    for run, age in (("a", 500), ("b", 30), ("c", 20), ("d", 10)):
        output = outputs.create(run)
        output.write(1, b"printed")
        await output.aclose(keep=True)
        for path in outputs.folder.glob(f"{run}.*"):
            os.utime(path, (now - age, now - age))
    outputs.prune()
    assert sorted(path.name for path in outputs.folder.iterdir()) == ["c.stderr", "c.stdout", "d.stderr", "d.stdout"]


def test_flags_of_a_help_text() -> None:
    """`--a[-b]` names two options."""
    assert parse_flags("Use --print, or --system-prompt[-file] <x>.") == {
        "--print",
        "--system-prompt",
        "--system-prompt-file",
    }


async def test_an_api_failure_of_an_old_installation(tmp_path: Path) -> None:
    """The error contains the API's text."""
    failed = {**RESULT, "is_error": True, "result": "Credit balance is too low", "api_error_status": 402}
    async with command_line(tmp_path, command=stand_in(tmp_path, prints(failed, "exit 1"))) as harness:
        with pytest.raises(GatewayError, match="Credit balance"):
            await harness.ask([user("Hi")])
