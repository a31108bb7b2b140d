"""Failures between the Anthropic backend and the API: repeated calls, and the error for the client."""

import asyncio
from contextlib import aclosing

import pytest
from api_harness import (
    CONTENT,
    HEAD,
    MESSAGE,
    START,
    any_request,
    api,
    backend_at,
    connections,
    raw_server,
    read_request,
)
from backend_harness import ask, user
from free_ports import free_port

from dragoman.core import errors
from dragoman.core.events import BlockDelta, Event, MessageStart, Retrying
from dragoman.simulator.faults import Fault


def retries(events: list[Event]) -> list[tuple[int, str]]:
    """Return the number of the failed attempt and the reason of each `Retrying`."""
    return [(event.attempt, event.reason) for event in events if isinstance(event, Retrying)]


async def test_a_refused_connection() -> None:
    """The call is repeated as often as configured, then the run fails."""
    events: list[Event] = []
    async with backend_at(f"http://127.0.0.1:{free_port()}", retries=2) as backend:
        with pytest.raises(errors.UpstreamFailed, match="the connection was refused"):
            await ask(backend, any_request(), events)
    assert retries(events) == [(1, "connection_error"), (2, "connection_error")]


async def test_a_name_that_does_not_exist() -> None:
    """The error tells that the lookup failed, without the name."""
    async with backend_at("http://nowhere.invalid", retries=0) as backend:
        with pytest.raises(errors.UpstreamFailed, match="its name cannot be looked up") as caught:
            await ask(backend, any_request())
        assert "nowhere" not in caught.value.message


@pytest.mark.parametrize("url", ["ftp://a.example", "http://", "nonsense", "http://a.example:port", "http://[::1"])
async def test_an_invalid_address(url: str) -> None:
    """The client gets a sentence, and no traceback."""
    async with backend_at(url, retries=0) as backend:
        with pytest.raises(errors.UpstreamFailed, match="its address"):
            await ask(backend, any_request())


async def test_a_reset_before_the_first_byte_is_repeated() -> None:
    """The client gets the response once."""
    async with api(retries=2) as harness:
        harness.simulator.inject(Fault(action="cut"), times=2)
        answer = await harness.ask([user("Reply with exactly: PONG")])
        assert answer.text == "PONG"
        assert retries(answer.events) == [(1, "connection_error"), (2, "connection_error")]
        assert len(harness.calls) == 3


async def test_a_call_that_an_idle_connection_lost_is_a_counted_retry() -> None:
    """It is repeated at once, also with `retries=0`: the API may have received it, and may not."""
    requests = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        while requests < 4:
            await read_request(reader)
            requests += 1
            if requests == 2:
                return
            writer.write(HEAD + b"content-length: %d\r\n\r\n" % len(MESSAGE) + MESSAGE)

    async with raw_server(serve) as url, backend_at(url, retries=0) as backend:
        answers = [await ask(backend, any_request()) for _ in range(2)]
    assert [answer.text for answer in answers] == ["PONG", "PONG"]
    assert [retries(answer.events) for answer in answers] == [[], [(1, "repeated")]]
    assert requests == 3


async def test_a_reset_after_the_first_byte_is_not_repeated() -> None:
    """The run fails, although retries are left."""
    events: list[Event] = []
    async with api(retries=2) as harness:
        harness.simulator.inject(Fault(action="cut", after=2))
        with pytest.raises(errors.UpstreamFailed, match="the connection broke"):
            await harness.read([user("Count to 9")], into=events)
        assert any(isinstance(event, BlockDelta) for event in events)
        assert retries(events) == []
        assert len(harness.calls) == 1
        assert harness.connections == {"busy": 0, "idle": 0}


@pytest.mark.parametrize("after", [None, 2])
async def test_silence_is_a_timeout(after: int | None) -> None:
    """Before the first byte and after it. The call is not repeated."""
    events: list[Event] = []
    async with api(retries=2, silence=0.1) as harness:
        harness.simulator.inject(Fault(action="silence", after=after), times=3)
        with pytest.raises(errors.TimedOut, match="no sign of life"):
            await harness.read([user("Count to 9")], into=events)
        assert retries(events) == []
        assert harness.connections == {"busy": 0, "idle": 0}


async def test_a_response_may_arrive_byte_by_byte() -> None:
    """Events in pieces are read like any others."""

    async def send_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        data = HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(MESSAGE) + MESSAGE + b"\r\n0\r\n\r\n"
        for at in range(len(data)):
            writer.write(data[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0)

    async with raw_server(send_bytes) as url, backend_at(url, retries=0) as backend:
        assert (await ask(backend, any_request())).text == "PONG"


async def test_garbage_in_the_stream() -> None:
    """An event that is not JSON fails the run. Earlier events remain valid."""
    events: list[Event] = []
    async with api() as harness:
        harness.simulator.inject(Fault(action="garbage", after=1))
        with pytest.raises(errors.UpstreamFailed, match="could not be read"):
            await harness.read([user("Count to 9")], into=events)
        assert any(isinstance(event, BlockDelta) for event in events)
        assert harness.connections["busy"] == 0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 70_000, "headers of its response are too large"),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "is not HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi", "is not Claude"),
        (b"HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n", "is not Claude"),
        (b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 9\r\n\r\n<p>no</p>", "status 502"),
        (HEAD + b"content-length: 5\r\n\r\ndata:", "broke"),
        (HEAD + b"\r\n" + START, "broke off"),
        (HEAD + b"\r\n" + START + CONTENT, "broke off"),
        (HEAD + b"\r\n" + CONTENT, "could not be read"),
        (HEAD + b"\r\n" + START + START + CONTENT, "could not be read"),
        (HEAD + b"\r\ndata: [1]\n\n", "could not be read"),
        (HEAD + b'\r\ndata: {"type": 1}\n\n', "could not be read"),
        (HEAD + b'\r\ndata: {"type": "message_start"}\n\n', "could not be read"),
        (HEAD + b"\r\n" + START + b'data: {"type": "content_block_stop"}\n\n', "could not be read"),
    ],
)
async def test_servers_that_are_not_the_api(answer: bytes, message: str) -> None:
    """The client gets a sentence, and no connection is kept."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    async with raw_server(serve) as url, backend_at(url, retries=0) as backend:
        with pytest.raises(errors.UpstreamFailed, match=message):
            await ask(backend, any_request())
        assert connections(backend)["busy"] == 0


async def test_retries_of_overloads_are_limited() -> None:
    """After the configured number of retries, the error has the API's own text."""
    events: list[Event] = []
    async with api(retries=3) as harness:
        harness.simulator.inject(Fault(status=529), times=10)
        with pytest.raises(errors.Overloaded) as caught:
            await harness.read([user("Hello")], into=events)
        assert caught.value.retry_after
        assert retries(events) == [(number, "overloaded_error") for number in (1, 2, 3)]
        assert len(harness.calls) == 4


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
async def test_transient_failures_are_repeated(status: int) -> None:
    """The client gets one response."""
    async with api(retries=1) as harness:
        harness.simulator.inject(Fault(status=status))
        assert (await harness.ask([user("Reply with exactly: PONG")])).text == "PONG"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=400),
        Fault(status=401),
        Fault(status=403),
        Fault(status=413),
        Fault(status=429, message="You hit your limit"),
        Fault(status=429, headers={"retry-after": "3600"}),
        Fault(status=529, headers={"x-should-retry": "false"}),
    ],
    ids=lambda fault: str(fault)[:40],
)
async def test_other_failures_are_not_repeated(fault: Fault) -> None:
    """Nor does a client wait for an hour: the error has the time."""
    async with api(retries=2) as harness:
        harness.simulator.inject(fault, times=5)
        with pytest.raises(errors.GatewayError) as caught:
            await harness.ask([user("Hello")])
        assert len(harness.calls) == 1
        if "retry-after" in fault.headers:
            assert caught.value.retry_after == 3600


async def test_retry_after_of_the_api() -> None:
    """The API's time replaces the gateway's back-off."""
    async with api(retries=1, backoff=60.0) as harness:
        harness.simulator.inject(Fault(status=429, headers={"retry-after": "0"}))
        answer = await harness.ask([user("Reply with exactly: PONG")])
        assert [event.delay for event in answer.events if isinstance(event, Retrying)] == [0.0]


EVENTS = [
    ("invalid_request_error", errors.InvalidRequest),
    ("authentication_error", errors.NotSignedIn),
    ("billing_error", errors.QuotaExceeded),
    ("permission_error", errors.Forbidden),
    ("not_found_error", errors.NotFound),
    ("request_too_large", errors.RequestTooLarge),
    ("rate_limit_error", errors.RateLimited),
    ("timeout_error", errors.TimedOut),
    ("api_error", errors.UpstreamFailed),
    ("overloaded_error", errors.Overloaded),
    ("new_error", errors.UpstreamFailed),
]


@pytest.mark.parametrize(("kind", "cause"), EVENTS)
async def test_an_error_event_is_mapped_by_its_type(kind: str, cause: type[errors.GatewayError]) -> None:
    """It has no status. After the first part of a response, the call is not repeated."""
    async with api(retries=2) as harness:
        harness.simulator.inject(Fault(action="error", after=2, error_type=kind, message="broken"))
        with pytest.raises(errors.GatewayError) as caught:
            await harness.ask([user("Count to 9")])
        assert type(caught.value) is cause
        assert len(harness.calls) == 1


@pytest.mark.parametrize("broken", [b'event: error\ndata: {"type":"error","error":{"type":"api_error"}}\n\n', b""])
async def test_a_response_that_fails_before_its_content_is_repeated(broken: bytes) -> None:
    """The message has started, but no event was emitted."""
    answers = iter([START + broken, MESSAGE])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HEAD + b"connection: close\r\n\r\n" + next(answers))
        writer.write_eof()
        await reader.read()

    async with raw_server(serve) as url, backend_at(url, retries=1) as backend:
        answer = await ask(backend, any_request())
        assert answer.text == "PONG"
        assert [type(event) for event in answer.events].count(MessageStart) == 1
        assert len(retries(answer.events)) == 1


async def test_closing_a_run_closes_its_connection() -> None:
    """The next run uses another connection."""
    async with api() as harness:
        harness.simulator.inject(Fault(hold=True, after=2))
        running = harness.backend.run(harness.request([user("Count to 9")]))
        async for event in running:
            if isinstance(event, BlockDelta):
                break
        assert harness.connections == {"busy": 1, "idle": 0}
        await running.aclose()
        assert harness.connections == {"busy": 0, "idle": 0}
        assert (await harness.ask([user("Reply with exactly: PONG")])).text == "PONG"


async def test_a_cancelled_run_closes_its_connection() -> None:
    """Also before the first byte."""
    async with api() as harness:
        harness.simulator.inject(Fault(action="silence"))
        task = asyncio.create_task(harness.ask([user("Count to 9")]))
        await harness.simulator.wait_for_calls(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert harness.connections == {"busy": 0, "idle": 0}


async def test_closing_the_backend_fails_its_runs() -> None:
    """All connections are closed when it returns, and new runs fail."""
    async with api() as harness:
        await harness.ask([user("One")])
        harness.simulator.inject(Fault(hold=True, after=1))
        async with aclosing(harness.backend.run(harness.request([user("Count to 9")]))) as running:
            async for event in running:
                if isinstance(event, BlockDelta):
                    break
            await harness.backend.aclose()
            assert harness.connections == {"busy": 0, "idle": 0}
            with pytest.raises(errors.UpstreamFailed):
                await anext(running)
        with pytest.raises(errors.UpstreamFailed, match="closing"):
            await harness.ask([user("Two")])
