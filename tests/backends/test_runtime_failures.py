"""Failures between the gateway, the real runtime and the API, and the error that the client gets."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest
from backend_harness import Runtime, assistant, is_alive, message_events, runtime, scripted_runtime, user
from gateways import with_timeout
from unexpected_frames import UNEXPECTED, error_code

from dragoman.core import errors
from dragoman.core.events import BlockDelta, Event, MessageStop, Restarted
from dragoman.simulator.faults import Fault, StopReason


async def test_a_stream_that_breaks_gives_one_response(tmp_path: Path) -> None:
    """`Restarted` voids the events before the break. The response of the second call is the response."""
    async with runtime(tmp_path, retries=2) as harness:
        harness.simulator.inject(Fault(action="cut", after=3, pace=0.05))
        answer = await harness.ask([user("Count to 9")])
        assert answer.text == "1 2 3 4 5 6 7 8 9"
        kinds = [type(event) for event in answer.events]
        assert kinds.index(BlockDelta) < kinds.index(Restarted)
        assert len(harness.calls) == 2


@pytest.mark.parametrize("reason", ["max_tokens", "refusal", "model_context_window_exceeded"])
async def test_a_short_response_that_is_cut_is_one_api_call(tmp_path: Path, reason: StopReason) -> None:
    """The runtime would call the model again, but its process can make only one call."""
    async with runtime(tmp_path) as harness:
        harness.simulator.inject(Fault(stop_reason=reason, after=2))
        await _ends_with(harness, reason, max_tokens=3)
        assert len(harness.calls) == 1


async def test_a_long_response_that_reaches_its_limit_is_one_api_call(tmp_path: Path) -> None:
    """The egress block is active before the response is cut."""
    async with runtime(tmp_path) as harness:
        harness.simulator.inject(Fault(pace=0.003))
        await _ends_with(harness, "max_tokens", prompt="Count to 400", max_tokens=300)
        assert len(harness.calls) == 1


@pytest.mark.parametrize("reason", ["refusal", "model_context_window_exceeded"])
async def test_a_response_cut_without_a_limit_is_one_api_call(tmp_path: Path, reason: StopReason) -> None:
    """The process is killed before its next call."""
    async with runtime(tmp_path) as harness:

        async def ends() -> None:
            harness.simulator.inject(Fault(stop_reason=reason, after=2))
            await _ends_with(harness, reason, max_tokens=9000)

        await harness.ends_in_one_call(ends)


async def _ends_with(harness: Runtime, reason: StopReason, *, max_tokens: int, prompt: str = "Count to 9") -> None:
    answer = await harness.ask([user(prompt)], max_tokens=max_tokens)
    assert answer.accumulated.message["stop_reason"] == reason
    assert isinstance(message_events(answer)[-1], MessageStop)
    assert harness.processes == {"spare": 0, "live": 0, "agents": 0, "all": 0}


async def test_a_response_near_its_limit_leaves_the_process_usable(tmp_path: Path) -> None:
    """The egress block is lifted for the next turn, and for a retry."""
    async with runtime(tmp_path, retries=1) as harness:
        first = await harness.ask([user("Count to 200")], max_tokens=300)
        assert first.accumulated.message["stop_reason"] == "end_turn"
        harness.simulator.inject(Fault(action="cut", after=150, pace=0.001))
        messages = [user("Count to 200"), first.message, user("Count to 190")]
        second = await harness.ask(messages, max_tokens=300)
        assert second.path == "live"
        assert second.text.endswith("190")
        assert Restarted() in second.events
        assert len(harness.calls) == 3


async def test_closing_a_run_ends_its_process(tmp_path: Path) -> None:
    """Closing the run during the response returns when the process is reaped."""
    async with runtime(tmp_path) as harness:
        harness.simulator.inject(Fault(hold=True, after=2))
        running = harness.backend.run(harness.request([user("Count to 9")]))
        await harness.until(running, lambda event: isinstance(event, BlockDelta))
        [session] = harness.backend._sessions
        await running.aclose()
        assert not is_alive(session.pid)
        assert harness.processes == {"spare": 0, "live": 0, "agents": 0, "all": 0}


async def test_cancelling_a_run_ends_its_process(tmp_path: Path) -> None:
    """The same if the task that reads the run is cancelled."""
    async with runtime(tmp_path) as harness:
        harness.simulator.hold()
        task = asyncio.create_task(harness.ask([user("Count to 9")]))
        await harness.simulator.wait_for_calls(1)
        [session] = harness.backend._sessions
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not is_alive(session.pid)


async def test_a_process_that_is_killed_during_a_response_fails_one_run(tmp_path: Path) -> None:
    """That run gets a clear error. The next run succeeds."""
    async with runtime(tmp_path) as harness:
        harness.simulator.inject(Fault(hold=True, after=2))
        async with aclosing(harness.backend.run(harness.request([user("Count to 9")]))) as running:
            await harness.until(running, lambda event: isinstance(event, BlockDelta))
            [session] = harness.backend._sessions
            os.kill(session.pid, signal.SIGKILL)
            with pytest.raises(errors.UpstreamFailed, match="process failed") as caught:
                await harness.until(running, lambda event: isinstance(event, MessageStop))
        assert caught.value.code == "runtime_failed"
        assert (await harness.ask([user("Reply with exactly: PONG")])).text == "PONG"


async def test_a_killed_live_process_fails_no_run(tmp_path: Path) -> None:
    """The conversation's next turn is replayed into another process."""
    async with runtime(tmp_path) as harness:
        first = await harness.ask([user("One")])
        [session] = harness.backend._sessions
        os.kill(session.pid, signal.SIGKILL)
        await session.exited
        second = await harness.ask([user("One"), first.message, user("Reply with exactly: PONG")])
        assert (second.path, second.text) == ("cold", "PONG")


async def test_a_killed_warm_process_fails_no_run(tmp_path: Path) -> None:
    """A warm process that ends is replaced. A request in the meantime boots its own."""
    async with runtime(tmp_path, warm_processes=1) as harness:
        await harness.ask([user("One")])
        for session in list(harness.backend._sessions):
            os.kill(session.pid, signal.SIGKILL)
            await session.exited
        assert (await harness.ask([user("Reply with exactly: PONG")])).text == "PONG"


async def test_an_idle_process_that_died_unnoticed_fails_no_run(tmp_path: Path) -> None:
    """No API call was made when its end is noticed, so another process serves the request."""
    async with runtime(tmp_path) as harness:
        first = await harness.ask([user("One")])
        [session] = harness.backend._sessions
        os.kill(session.pid, signal.SIGKILL)
        assert session.alive, "its end is not noticed yet"
        second = await harness.ask([user("One"), first.message, user("Reply with exactly: PONG")], temperature=0.5)
        assert (second.path, second.text) == ("cold", "PONG")
        assert len(harness.calls) == 2


async def test_silence_ends_in_a_timeout_and_no_process(tmp_path: Path) -> None:
    """A run without a frame for too long fails."""
    async with runtime(tmp_path, silence=0.2) as harness:
        harness.simulator.inject(Fault(action="silence", after=1))
        with pytest.raises(errors.TimedOut, match="no sign of life"):
            await harness.ask([user("Count to 9")])
        assert harness.processes == {"spare": 0, "live": 0, "agents": 0, "all": 0}


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; sys.exit(3)", "process failed"),
        ("print('no JSON', flush=True); import sys; sys.stdin.read()", "no JSON object"),
        ("print('[1]', flush=True); import sys; sys.stdin.read()", "no JSON object"),
        ("import sys; sys.stdin.read()", "did not answer"),
    ],
    ids=["exits", "rubbish", "not an object", "hangs"],
)
async def test_a_program_that_is_no_runtime_is_a_clear_error(tmp_path: Path, program: str, reason: str) -> None:
    """Whatever the configured command does, the error says what is wrong, and no process remains."""
    command = tmp_path / "claude"
    command.write_text(f"#!{sys.executable}\n{program}\n")
    command.chmod(0o700)
    async with runtime(tmp_path, command=command, boot_timeout=1.0) as harness:
        with pytest.raises((errors.UpstreamFailed, errors.TimedOut), match=reason):
            await harness.ask([user("One")])
        await asyncio.gather(*(session.exited for session in harness.backend._sessions))
        assert harness.processes == {"spare": 0, "live": 0, "agents": 0, "all": 0}


@UNEXPECTED
async def test_an_unexpected_frame_fails_its_run_at_once(tmp_path: Path, frame: object) -> None:
    """The run does not wait for the silence limit, and the process is discarded."""
    async with runtime(tmp_path, command=scripted_runtime(tmp_path, frame)) as harness:
        with pytest.raises(errors.UpstreamFailed, match=r"process failed|could not be read") as caught:
            await with_timeout(harness.ask([user("One")]))
        assert caught.value.code == error_code(frame)
        assert harness.processes == {"spare": 0, "live": 0, "agents": 0, "all": 0}


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "control_response"},
        {"type": "control_response", "response": "yes"},
        {"type": "control_request"},
        {"type": "control_request", "request_id": "1", "request": {"subtype": "mcp_message"}},
        {"type": "control_request", "request_id": "1", "request": {"subtype": "mcp_message", "message": []}},
        {
            "type": "control_request",
            "request_id": "1",
            "request": {"subtype": "mcp_message", "message": {"id": 1, "method": "tools/call", "params": {}}},
        },
    ],
    ids=lambda frame: str(frame)[:70],
)
async def test_an_unexpected_control_frame_fails_the_run_at_once(tmp_path: Path, frame: object) -> None:
    """The same for the runtime's control requests, and for its control responses."""
    async with runtime(tmp_path, command=scripted_runtime(tmp_path, frame)) as harness:
        with pytest.raises(errors.UpstreamFailed, match="process failed") as caught:
            await with_timeout(harness.ask([user("One")]))
        assert caught.value.code == "runtime_failed"
        assert harness.processes == {"spare": 0, "live": 0, "agents": 0, "all": 0}


async def test_an_unexpected_frame_during_replay_fails_the_run_at_once(tmp_path: Path) -> None:
    """Earlier messages are appended before the request is sent: a failure there does not wait for a timeout either."""
    command = scripted_runtime(tmp_path, {"type": "control_response"})
    async with runtime(tmp_path, command=command) as harness:
        with pytest.raises(errors.UpstreamFailed, match="process failed") as caught:
            await with_timeout(harness.ask([user("One"), assistant("Two"), user("Three")]))
        assert caught.value.code == "runtime_failed"
        assert harness.processes == {"spare": 0, "live": 0, "agents": 0, "all": 0}


async def test_a_missing_command_is_a_clear_error(tmp_path: Path) -> None:
    """The configured executable does not exist."""
    async with runtime(tmp_path, command=tmp_path / "nothing") as harness:
        with pytest.raises(errors.UpstreamFailed, match="cannot be started"):
            await harness.ask([user("One")])


async def test_without_key_and_sign_in_the_advice_is_the_error(tmp_path: Path) -> None:
    """No process is started. The error says what the operator can type."""
    async with runtime(tmp_path) as harness:
        bare = type(harness.backend)(type(harness.options)(state_dir=tmp_path / "bare"))
        await bare.start()
        running: AsyncGenerator[Event, None] = bare.run(harness.request([user("One")]))
        with pytest.raises(errors.NotSignedIn, match="ANTHROPIC_API_KEY") as caught:
            await anext(running)
        assert "dragoman login" in caught.value.message
        assert bare.ready() == caught.value.message
        await bare.aclose()


async def test_closing_the_backend_ends_every_process(tmp_path: Path) -> None:
    """Live, warm and busy ones."""
    async with runtime(tmp_path, warm_processes=2) as harness:
        first = await harness.ask([user("One")])
        assert first.text
        harness.simulator.hold()
        busy = harness.backend.run(harness.request([user("Two"), assistant("x"), user("Three")]))
        await anext(busy)

        async def read_all() -> None:
            async for _ in busy:
                pass

        reading = asyncio.create_task(read_all())
        await harness.simulator.wait_for_calls(2)
        pids = [session.pid for session in harness.backend._sessions]
        await harness.backend.aclose()
        assert len(pids) >= 2
        assert not any(is_alive(pid) for pid in pids)
        with pytest.raises(errors.UpstreamFailed):
            await reading
        await busy.aclose()
