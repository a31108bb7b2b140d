"""A session: frames whose reader is gone, what warms a process up, and what reaches no proxy."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from dragoman.backends.claude_code import protocol
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.backends.claude_code.session import Session
from dragoman.backends.shared.child_process import ChildProcess
from dragoman.core.events import MessageStop


async def test_a_result_during_the_cancellation_of_its_run_is_ignored(tmp_path: Path) -> None:
    """The process may answer between the cancellation and the end of the run."""
    process = await ChildProcess.spawn(["/bin/sh", "-c", "read line; read another"], env={}, cwd=tmp_path)
    session = Session(process, silence=10)
    appending = asyncio.create_task(session.append([[{"type": "user"}]]))
    await asyncio.sleep(0)
    appending.cancel()
    session._on_frame({"type": "result"})
    with pytest.raises(asyncio.CancelledError):
        await appending
    session.discard()
    await session.exited


RECORDS_REQUESTS = """
import json, sys
with open("requests", "a") as file:
    for line in sys.stdin:
        frame = json.loads(line)
        print(json.dumps(frame["request"]), file=file, flush=True)
        response = {"subtype": "error", "request_id": frame["request_id"]}
        if frame["request"]["subtype"] != "get_context_usage":
            response["subtype"] = "success"
        print(json.dumps({"type": "control_response", "response": response}), flush=True)
"""


@pytest.mark.parametrize(
    ("base_url", "address"), [(None, "https://api.anthropic.com"), ("http://api.internal", "http://api.internal")]
)
async def test_a_process_is_warmed_up_while_the_api_is_blocked(
    tmp_path: Path, base_url: str | None, address: str
) -> None:
    """The block is set before the question and lifted after it. The address is then the one of before, official or not.

    A process that refuses the question is used. Settings that are set already are not sent again.
    """
    argv = [sys.executable, "-I", "-S", "-c", RECORDS_REQUESTS]
    session = Session(await ChildProcess.spawn(argv, env={}, cwd=tmp_path), silence=10, base_url=base_url)
    await session.warm_up({"model": "m", "env": {"A": "1"}}, 20)
    await session.configure({"model": "m", "env": {"A": "1"}})
    session.discard()
    await session.exited
    sent = [json.loads(line) for line in (tmp_path / "requests").read_text().splitlines()]

    def settings(url: str) -> object:
        return {
            "subtype": "apply_flag_settings",
            "settings": {"model": "m", "env": {"A": "1", "ANTHROPIC_BASE_URL": url}},
        }

    assert sent == [settings("https://127.0.0.1:1"), {"subtype": "get_context_usage"}, settings(address)]


@pytest.mark.parametrize(
    ("outer", "direct"),
    [
        ({}, "127.0.0.1"),
        ({"no_proxy": "corp"}, "corp,127.0.0.1"),
        ({"NO_PROXY": "a", "no_proxy": "b"}, "a,127.0.0.1"),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_no_proxy_gets_what_is_for_loopback(tmp_path: Path, outer: dict[str, str], direct: str) -> None:
    """A blocked call has a loopback address. The operator's own exceptions stay."""
    variables = protocol.environment(ClaudeCodeOptions(state_dir=tmp_path), {"HTTPS_PROXY": "http://proxy", **outer})
    assert variables["NO_PROXY"] == variables["no_proxy"] == direct


STREAMS = """
import json, sys
def event(**data):
    print(json.dumps({"type": "stream_event", "event": data}), flush=True)
with open("requests", "a") as file:
    for line in sys.stdin:
        frame = json.loads(line)
        request = frame.get("request", {})
        address = request.get("settings", {}).get("env", {}).get("ANTHROPIC_BASE_URL")
        print(json.dumps([frame["type"], address]), file=file, flush=True)
        if frame["type"] == "user":
            event(type="message_start", message={"id": "m", "content": [], "usage": {}})
            event(type="content_block_start", index=0, content_block={"type": "text", "text": ""})
            event(type="content_block_delta", index=0, delta={"type": "text_delta", "text": "Hello"})
        if frame["type"] == "user" and frame["ends"] or address == "https://127.0.0.1:1":
            event(type="content_block_stop", index=0)
            event(type="message_delta", delta={"stop_reason": "end_turn"}, usage={})
            event(type="message_stop")
            print(json.dumps({"type": "result"}), flush=True)
"""


@pytest.mark.parametrize("is_short", [True, False])
async def test_a_response_that_lasts_is_blocked_until_its_end(tmp_path: Path, *, is_short: bool) -> None:
    """The next call is blocked soon after the first token, and allowed again at the end, not by the next request.

    A response that ends at once costs the runtime nothing.
    """
    argv = [sys.executable, "-I", "-S", "-c", STREAMS]
    session = Session(await ChildProcess.spawn(argv, env={}, cwd=tmp_path), silence=10, base_url="http://api.internal")
    for _ in range(2):
        events = [event async for event in session.run_turn([{"type": "user", "ends": is_short}], 1000)]
        assert isinstance(events[-1], MessageStop)
    await session.finish()
    sent = [json.loads(line) for line in (tmp_path / "requests").read_text().splitlines()]
    block = [["control_request", "https://127.0.0.1:1"], ["control_request", "http://api.internal"]]
    assert sent == ([["user", None]] if is_short else [["user", None], *block]) * 2
