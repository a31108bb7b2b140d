"""Replay by transcript: what reaches the API is what replay by frames sends, with a key and with a sign-in."""

import asyncio
import json
import stat
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest
from backend_harness import ONE_OF_EACH, Answer, Runtime, assistant, runtime, text, user
from conversation_strategies import DOCUMENT, IMAGE, TOOLS, Plan, plans
from gateways import until, with_timeout
from hypothesis import given, settings
from test_doctor import files_in
from test_runtime_conversations import AUTH
from test_runtime_order import THINKING, call, result

from dragoman.backends.claude_code.protocol import replay_batches
from dragoman.backends.claude_code.resume import TranscriptPipe, encode_transcript, split_conversation
from dragoman.backends.shared.child_process import ChildProcess
from dragoman.core.catalog import Catalog
from dragoman.core.errors import TimedOut, UpstreamFailed
from dragoman.core.messages import Block, JSONObject, Message
from dragoman.simulator.signing import binding_for, sign
from log_lines import log_lines

MODEL = "claude-sonnet-4-5"
ODD_TEXTS = ("a\u2028b\u2029c\x85d", "@/etc/hostname", "/clear", "[]", "  padded  ", '"\\\n{"type":"user"}', "🦊")
PDF: Block = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQKJSVFT0YK"},
}
PICTURE_BY_URL: Block = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}


def long_conversation(model: str) -> list[Message]:
    """Return a conversation of every kind of block that ends in results.

    It has no thinking of a model that binds it to what is before: `test_runtime_order` has such conversations.
    """
    known = Catalog().resolve(model).model
    signature = sign("Hm.", binding_for(known, b"", ""))
    thought: list[Block] = [{"type": "thinking", "thinking": "Hm.", "signature": signature}]
    if known.bound_thinking:
        thought = []
    odd = [message for words in ODD_TEXTS for message in (user(words), assistant(*thought, words))]
    return [
        *odd,
        user(IMAGE, PICTURE_BY_URL, DOCUMENT, PDF, "What?", "And this?"),
        assistant(*thought, "Let me look.", "Twice.", call("a1"), call("a2")),
        user(result("a1", "RED", IMAGE), result("a2", "no", error=True), "What now?", IMAGE),
        assistant(*thought, call("b1"), call("b2")),
        user({**result("b1"), "content": "a plain text"}, result("b2")),
        assistant("x" * 70_000),
        user("y" * 300_000),
        assistant(*thought, call("c1")),
        user(result("c1", "z" * 1000)),
    ]


async def by_both_ways(
    harness: Runtime, messages: Sequence[Message], model: str, **fields: object
) -> tuple[Answer, Answer]:
    """Run a request by frames and by transcript, and hold the two API calls to each other.

    Where a tool is named `Bash`, no instructions for commits are added with a sign-in.
    """
    answers, bodies = [], []
    for way, path in ((False, "cold"), (True, "resume")):
        harness.simulator.clear()
        harness.backend._live.clear()
        harness.backend._processes.takes_transcripts = way
        answers.append(answer := await harness.ask(messages, model, tools=TOOLS, **fields))
        assert answer.path == path
        [received] = harness.calls
        bodies.append({**received.body, "metadata": None})
    assert bodies[0] == bodies[1]
    assert "git commits" not in json.dumps(bodies[0])
    first, second = answers
    assert first.started.warnings == second.started.warnings
    return first, second


@AUTH
@pytest.mark.parametrize("model", ONE_OF_EACH)
async def test_a_transcript_makes_the_request_that_frames_make(tmp_path: Path, model: str, *, signed_in: bool) -> None:
    """Every kind of block arrives as equal JSON. The next turns are the same, too."""
    system = [text("Be brief.")]
    fields: JSONObject = {"system": list(system), "thinking": THINKING[model], "max_tokens": 9000}
    messages = long_conversation(model)
    async with runtime(tmp_path, signed_in=signed_in) as harness:
        _, answer = await by_both_ways(harness, messages, model, **fields)
        sent = cast("list[JSONObject]", harness.calls[-1].body["messages"])
        assert sum(message["role"] != "system" for message in sent) == len(messages)
        longer = [*messages, assistant(*answer.accumulated.message["content"]), user("And now?")]
        live = await harness.ask(longer, model, tools=TOOLS, **fields)
        assert live.path == "live"
        after_transcript = harness.calls[-1].body
        await by_both_ways(harness, longer, model, **fields)
        replayed = harness.calls[-1].body
        assert {**after_transcript, "metadata": None} == {**replayed, "metadata": None}


async def test_a_prefill_and_a_single_call_by_transcript(tmp_path: Path) -> None:
    """A last assistant message is sent with nothing after it. A process for one API call takes a transcript, too."""
    messages = [*long_conversation(MODEL), assistant("It is"), user("What?"), assistant("Well, it")]
    async with runtime(tmp_path) as harness:
        await by_both_ways(harness, messages, MODEL)
        await by_both_ways(harness, messages[:-1], MODEL, max_tokens=20)


async def test_a_call_is_parked_and_answered_after_a_transcript(tmp_path: Path) -> None:
    """The process that took a transcript waits for the result of a call, as any other."""
    messages = [*long_conversation(MODEL)[:-1], user(result("c1", "RED")), assistant("Red."), user("Use look")]
    async with runtime(tmp_path) as harness:
        harness.backend._processes.takes_transcripts = True
        first = await harness.ask(messages, MODEL, tools=TOOLS)
        assert first.path == "resume"
        content = first.accumulated.message["content"]
        [used] = [block for block in content if block["type"] == "tool_use"]
        answered = await harness.ask(
            [*messages, assistant(*content), user(result(str(used["id"]), "BLUE"))], MODEL, tools=TOOLS
        )
        assert answered.path == "live"
        assert len(harness.calls) == 2


@settings(max_examples=100)
@given(plans(max_turns=6))
def test_rows_are_linked_and_have_the_messages_of_the_frames(plan: Plan) -> None:
    """Each row is one line of JSON, names the row before, and has the message of its frame."""
    messages = plan.messages
    earlier, last = split_conversation(messages)
    reminders: list[JSONObject] = [{"type": "attachment", "uuid": "old", "parentUuid": "old"}]
    data = encode_transcript(earlier, MODEL, "last", reminders)
    rows = [json.loads(line) for line in data.removesuffix(b"\n").split(b"\n")]
    frames = [frame for batch in replay_batches(messages, MODEL) for frame in batch]
    assert rows[0]["parentUuid"] is None
    assert all(row["parentUuid"] == before["uuid"] for before, row in pairwise(rows))
    assert rows[-1]["uuid"] == "last"
    assert len({row["uuid"] for row in rows}) == len(rows) == len(messages)
    in_rows = [(row["type"], row["message"]) for row in rows[1:]]
    assert [*in_rows, *((frame["type"], frame["message"]) for frame in last)] == [
        (frame["type"], frame["message"]) for frame in frames
    ]


def new_pipe(folder: Path) -> tuple[TranscriptPipe, Path]:
    """Return a pipe and its path. It is for this user alone."""
    pipe = TranscriptPipe(folder / "transcripts")
    path = Path(pipe.arguments[0].removeprefix("--resume="))
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    return pipe, path


async def booted(folder: Path, program: str) -> tuple[TranscriptPipe, ChildProcess, list[JSONObject], Path]:
    """Start a shell program with a transcript's pipe as its argument. Return what it prints, too."""
    pipe, path = new_pipe(folder)
    process = await ChildProcess.spawn(["/bin/sh", "-c", program, "sh", str(path)], env={}, cwd=folder)
    frames: list[JSONObject] = []
    process.listen(frames.append, lambda _: None)
    return pipe, process, frames, path


async def test_a_transcript_is_read_to_its_end_and_never_on_the_disk(tmp_path: Path) -> None:
    """The pipe has no name once it is opened. Much more than a pipe holds arrives."""
    pipe, process, frames, path = await booted(tmp_path, 'cat "$1"')
    await with_timeout(pipe.wait_until_opened(lambda: process.alive, 10))
    assert not path.exists()
    pipe.write(encode_transcript([user("x" * 3_000_000), assistant("y")], MODEL, pipe.last_row))
    pipe.abort()
    await with_timeout(asyncio.shield(process.exited))
    await until(lambda: process.end_reason)
    assert [frame["type"] for frame in frames] == ["user", "assistant"]
    assert frames[-1]["uuid"] == pipe.last_row


async def test_a_pipe_that_is_never_opened(tmp_path: Path) -> None:
    """A process that ends, or that does not open the pipe in time, is an error. The pipe is removed."""
    pipe, process, _, path = await booted(tmp_path, "exit 1")
    with pytest.raises(UpstreamFailed):
        await with_timeout(pipe.wait_until_opened(lambda: process.alive, 10))
    pipe.abort()
    assert not path.exists()
    pipe, process, _, path = await booted(tmp_path, "read line")
    with pytest.raises(TimedOut):
        await pipe.wait_until_opened(lambda: process.alive, 0.05)
    process.kill()
    pipe.abort()
    assert not path.exists()
    await process.exited


async def test_a_waiting_process_ends_when_its_pipe_is_closed(tmp_path: Path) -> None:
    """The end of the gateway closes it, too."""
    pipe, process, _, _ = await booted(tmp_path, 'cat "$1"')
    await with_timeout(pipe.wait_until_opened(lambda: process.alive, 10))
    pipe.abort()
    await with_timeout(asyncio.shield(process.exited))


def chatter(count: int) -> list[Message]:
    """Return a conversation of short messages."""
    return [user(f"Message {number}") if number % 2 == 0 else assistant(f"Reply {number}") for number in range(count)]


async def test_long_conversations_use_the_process_that_waits_for_them(tmp_path: Path) -> None:
    """After a test of the runtime one more process waits. It serves conversations of 20 messages and more alone."""
    async with runtime(tmp_path, warm_processes=1, long_processes=1) as harness:
        await until(lambda: harness.processes["spare"] == 2)
        assert harness.calls == []
        assert harness.backend.failures() == {}
        assert (await harness.ask(chatter(19))).path == "warm"
        assert (await harness.ask(chatter(21))).path == "resume"
        assert len(cast("list[JSONObject]", harness.calls[-1].body["messages"])) == 21
        await until(lambda: harness.processes["spare"] == 2)
        assert not files_in(tmp_path / "state" / "transcripts")


REFUSES_TRANSCRIPTS = """
import json, sys
if any(argument.startswith("--resume=") for argument in sys.argv):
    {refusal}
for line in sys.stdin:
    frame = json.loads(line)
    if frame["type"] == "control_request":
        response = {{"subtype": "success", "request_id": frame["request_id"], "response": {{"models": []}}}}
        print(json.dumps({{"type": "control_response", "response": response}}), flush=True)
    elif frame["type"] == "user" and frame.get("shouldQuery", True):
        events = [
            {{"type": "message_start", "message": {{"id": "m", "type": "message", "role": "assistant", "model": "m",
              "content": [], "stop_reason": None, "stop_sequence": None, "usage": {{}}}}}},
            {{"type": "content_block_start", "index": 0, "content_block": {{"type": "text", "text": ""}}}},
            {{"type": "content_block_delta", "index": 0, "delta": {{"type": "text_delta", "text": "By frames"}}}},
            {{"type": "content_block_stop", "index": 0}},
            {{"type": "message_delta", "delta": {{"stop_reason": "end_turn", "stop_sequence": None}},
              "usage": {{"output_tokens": 1}}}},
            {{"type": "message_stop"}},
        ]
        for event in events:
            print(json.dumps({{"type": "stream_event", "event": event}}), flush=True)
        print(json.dumps({{"type": "result", "is_error": False}}), flush=True)
    elif frame["type"] == "user":
        print(json.dumps({{"type": "result", "is_error": False}}), flush=True)
"""


def refusing(folder: Path, refusal: str) -> Path:
    """Return a command that serves requests, but does not take transcripts."""
    command = folder / "claude"
    command.write_text(f"#!{sys.executable} -I\n{REFUSES_TRANSCRIPTS.format(refusal=refusal)}")
    command.chmod(0o700)
    return command


@pytest.mark.parametrize("refusal", ["sys.exit(1)", "pass"], ids=["ends", "ignores it"])
async def test_a_runtime_that_takes_no_transcripts_gets_frames(tmp_path: Path, refusal: str) -> None:
    """The test at the start finds it and logs it. Long conversations are then replayed by frames."""
    with log_lines() as logs:
        command = refusing(tmp_path, refusal)
        async with runtime(tmp_path, command=command, warm_processes=1, long_processes=1, boot_timeout=1.0) as harness:
            await until(lambda: not harness.backend._processes._transcript_test.running)
            answer = await harness.ask(chatter(21))
            assert (answer.path, answer.text) == ("warm", "By frames")
            assert harness.backend.failures() == {}
    assert [line["level"] for line in logs if line["event"] == "runtime.no_transcripts"] == ["warning"]


async def test_frames_replace_a_transcript_whose_process_dies(tmp_path: Path) -> None:
    """A process that ends while it reads the transcript made no API call. The request is served by another."""
    command = refusing(tmp_path, 'open(sys.argv[-2].split("=")[1]).read(); sys.exit(1)')
    async with runtime(tmp_path, command=command) as harness:
        harness.backend._processes.takes_transcripts = True
        answer = await harness.ask(chatter(101))
        assert (answer.path, answer.text) == ("cold", "By frames")
