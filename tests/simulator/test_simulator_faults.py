"""Faults on demand: by a line of the prompt, and injected."""

import asyncio
from typing import Any

import httpx
import pytest
from simulator_support import HEADERS, Ask

from dragoman.simulator.faults import Fault, parse_fault
from dragoman.simulator.server import Simulator


def body(text: str, *, stream: bool = True) -> dict[str, Any]:
    """Return a request body."""
    messages = [{"role": "user", "content": text}]
    return {"model": "claude-sonnet-4-5", "max_tokens": 100, "stream": stream, "messages": messages}


async def stream_text(client: httpx.AsyncClient, text: str) -> str:
    """Return the bytes of a streamed response as text."""
    return (await client.post("/v1/messages", json=body(text))).text


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("status 529", Fault(status=529)),
        ("status 400 invalid_request_error: some words", Fault(400, "invalid_request_error", "some words")),
        ("status 429\nSimulate: retry-after 2", Fault(status=429, headers={"retry-after": "2"})),
        ("error after 3", Fault(action="error", after=3)),
        ("error after 3 api_error: oh", Fault(action="error", after=3, error_type="api_error", message="oh")),
        ("cut", Fault(action="cut")),
        ("cut after 2", Fault(action="cut", after=2)),
        ("silence", Fault(action="silence")),
        ("garbage after 1", Fault(action="garbage", after=1)),
        ("delay 0.5", Fault(delay=0.5)),
        ("pace 0.01", Fault(pace=0.01)),
        ("hold", Fault(hold=True, after=0)),
        ("stop max_tokens", Fault(stop_reason="max_tokens")),
        ("stop refusal after 2", Fault(stop_reason="refusal", after=2)),
        ("nothing known", Fault()),
    ],
)
def test_lines_of_a_prompt(line: str, fault: Fault) -> None:
    """Each line of the documented table is parsed."""
    assert parse_fault(f"Hello\nSimulate: {line}") == fault


async def test_injected_status(client: httpx.AsyncClient, simulator: Simulator) -> None:
    """The response has status, type, message and headers of the API, for the requested number of messages."""
    simulator.inject(Fault(status=429, headers={"retry-after": "7"}), times=2)
    for _ in range(2):
        refused = await client.post("/v1/messages", json=body("Hello"))
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert refused.json()["request_id"] == refused.headers["request-id"]
    assert (await client.post("/v1/messages", json=body("Hello"))).status_code == 200


async def test_error_event_ends_the_stream(client: httpx.AsyncClient) -> None:
    """The event follows the requested number of deltas."""
    text = await stream_text(client, "Count to 9\nSimulate: error after 2")
    assert text.count("content_block_delta\n") == 2
    assert text.splitlines()[-2].startswith('data: {"type":"error","error":{"type":"overloaded_error"')
    assert "message_stop" not in text


@pytest.mark.parametrize("line", ["cut", "cut after 2"])
async def test_broken_connection(client: httpx.AsyncClient, simulator: Simulator, line: str) -> None:
    """The connection breaks before the first byte or in the stream. The request is recorded as not finished."""
    with pytest.raises(httpx.RemoteProtocolError):
        await stream_text(client, f"Count to 9\nSimulate: {line}")
    assert not simulator.calls[0].finished


async def test_garbage_does_not_end_the_stream(client: httpx.AsyncClient) -> None:
    """One frame has invalid JSON. All other frames are sent."""
    text = await stream_text(client, "Count to 3\nSimulate: garbage after 1")
    assert '"ind\n' in text
    assert "message_stop" in text


@pytest.mark.parametrize("reason", ["max_tokens", "refusal", "pause_turn", "model_context_window_exceeded"])
async def test_stop_reason_after_deltas(ask: Ask, reason: str) -> None:
    """The response ends with the stop reason after the given number of deltas."""
    answer: Any = await ask(f"Count to 9\nSimulate: stop {reason} after 2")
    assert (answer["stop_reason"], answer["content"][0]["text"]) == (reason, "1 2")
    assert (answer["stop_details"] is not None) is (reason == "refusal")


@pytest.mark.parametrize("line", ["silence", "silence after 1"])
async def test_silence_lasts_until_the_client_disconnects(
    client: httpx.AsyncClient, simulator: Simulator, line: str
) -> None:
    """Nothing more is sent, and the end of the simulator does not wait."""
    pending = asyncio.create_task(stream_text(client, f"Count to 9\nSimulate: {line}"))
    await simulator.wait_for_calls(1)
    pending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pending
    assert not simulator.calls[0].finished


@pytest.mark.parametrize("stream", [True, False])
async def test_held_responses_wait_for_release(
    client: httpx.AsyncClient, simulator: Simulator, *, stream: bool
) -> None:
    """A held response continues only after the release."""
    simulator.hold()
    pending = asyncio.create_task(client.post("/v1/messages", json=body("Count to 3", stream=stream)))
    await simulator.wait_for_calls(1)
    assert not pending.done()
    simulator.release()
    assert "3" in (await pending).text


async def test_hold_sends_the_deltas_before_it(client: httpx.AsyncClient, simulator: Simulator) -> None:
    """With `hold` after two deltas, two deltas arrive at once, and the third one after the release."""
    simulator.inject(Fault(hold=True, after=2))
    async with client.stream("POST", "/v1/messages", json=body("Count to 3")) as response:
        lines = response.aiter_lines()
        seen = 0
        while seen < 2:
            seen += (await anext(lines)) == "event: content_block_delta"
        simulator.release()
        rest = [line async for line in lines]
    assert "event: message_stop" in rest
    assert rest.count("event: content_block_delta") == 1


async def test_delays_do_not_change_the_response(ask: Ask, client: httpx.AsyncClient) -> None:
    """Delayed and paced responses are complete."""
    assert (await stream_text(client, "Count to 3\nSimulate: pace 0.001")).count("text_delta") == 3
    answer: Any = await ask("Count to 3\nSimulate: delay 0.001")
    assert answer["content"][0]["text"] == "1 2 3"


@pytest.mark.parametrize(
    ("line", "status"), [("error after 1", 529), ("garbage after 1", 200), ("status 500 api_error: oh", 500)]
)
async def test_faults_of_responses_without_a_stream(client: httpx.AsyncClient, line: str, status: int) -> None:
    """Without a stream, the fault replaces the response."""
    response = await client.post("/v1/messages", json=body(f"Hello\nSimulate: {line}", stream=False))
    assert response.status_code == status


async def test_end_aborts_open_responses() -> None:
    """A silent stream does not delay the end of the simulator. Its client gets an error."""
    async with httpx.AsyncClient(headers=HEADERS, timeout=300) as waiting:
        async with Simulator() as simulator:
            simulator.inject(Fault(action="silence", after=1))
            pending = asyncio.create_task(waiting.post(f"{simulator.url}/v1/messages", json=body("Count to 9")))
            await simulator.wait_for_calls(1)
        with pytest.raises(httpx.TransportError):
            await pending
    assert not simulator.calls[0].finished
