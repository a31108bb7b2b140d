"""The memory of large request bodies: reservations, the queue for them, and work in a thread."""

import asyncio
import gzip
import json
import threading
from itertools import pairwise
from types import FrameType

import pytest
from scripted import Script, clean, ending, hangs, opening, replies, served, text
from starlette.types import Message, Receive

from dragoman.backends.base import RunRequest
from dragoman.core.errors import InvalidRequest, Overloaded
from dragoman.core.long_steps import LONG_STEP
from dragoman.dialects.shared.validation import check_value_count
from dragoman.server.body_budget import COPIES, LARGE_BODY, BodyBudget
from dragoman.server.context import RequestContext
from dragoman.server.disconnect import read_body

_clean = pytest.fixture(autouse=True)(clean)

LIMIT = 10 * LARGE_BODY
LARGE_TEXT = "x" * (2 * LARGE_BODY)


def _body(content: str = LARGE_TEXT, **fields: object) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": content}], **fields}).encode()


def _context(*headers: tuple[bytes, bytes]) -> RequestContext:
    async def send(_message: Message) -> None:
        raise AssertionError

    return RequestContext({"type": "http", "method": "POST", "path": "/", "headers": list(headers)}, send)


def _receive(data: bytes, size: int = 65_536) -> Receive:
    parts = [data[start : start + size] for start in range(0, len(data), size)]

    async def receive() -> Message:
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    return receive


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_reservation_is_given_back_once() -> None:
    """A second release changes nothing."""
    budget = BodyBudget(1000)
    reservation = await budget.reserve(100)
    assert budget.used == 100 * COPIES
    reservation.resize(50)
    assert budget.used == 50 * COPIES
    reservation.resize(70)
    assert budget.used == 50 * COPIES
    reservation.release()
    reservation.release()
    assert budget.used == 0


async def test_what_does_not_fit_waits_and_small_ones_pass() -> None:
    """The order is that of arrival among those that fit."""
    budget = BodyBudget(100 * COPIES)
    first = await budget.reserve(80)
    waiting = [asyncio.create_task(budget.reserve(size)) for size in (90, 60, 30)]
    small = await budget.reserve(10)
    await _turns()
    assert (budget.used, budget.waiting) == (90 * COPIES, 3)
    first.release()
    await _turns()
    assert [task.done() for task in waiting] == [True, False, False]
    small.release()
    (await waiting[0]).release()
    for reservation in await asyncio.gather(*waiting[1:]):
        reservation.release()
    assert (budget.used, budget.waiting) == (0, 0)


async def test_a_body_larger_than_the_budget_is_handled_alone() -> None:
    """It could never be handled otherwise."""
    budget = BodyBudget(100)
    alone = await budget.reserve(5000)
    following = asyncio.create_task(budget.reserve(1))
    await _turns()
    assert not following.done()
    alone.release()
    (await following).release()
    assert budget.used == 0


async def test_the_queue_has_an_end_and_a_time_limit() -> None:
    """Both are an error that says when to come again."""
    budget = BodyBudget(30, max_waiting=1, max_wait=0.01)
    held = await budget.reserve(10)
    waiting = asyncio.create_task(budget.reserve(10))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="--max-body-memory") as full:
        await budget.reserve(10)
    with pytest.raises(Overloaded) as late:
        await waiting
    assert full.value.retry_after
    assert late.value.retry_after
    held.release()
    assert (budget.used, budget.waiting) == (0, 0)


async def test_a_request_that_is_cancelled_in_the_queue_leaves_nothing() -> None:
    """Also if it was admitted in the same turn of the loop."""
    budget = BodyBudget(30)
    for admitted in (False, True):
        held = await budget.reserve(10)
        waiting = asyncio.create_task(budget.reserve(10))
        await _turns()
        if admitted:
            held.release()
        waiting.cancel()
        await asyncio.wait([waiting])
        held.release()
        assert (budget.used, budget.waiting) == (0, 0)


async def test_a_task_that_outlives_its_request_keeps_the_memory() -> None:
    """A stored response is generated after its client has left."""
    budget = BodyBudget(1000)
    reservation = await budget.reserve(100)
    go_on = asyncio.Event()

    async def work() -> None:
        await go_on.wait()

    task = asyncio.create_task(work())
    reservation.hold_until(task)
    reservation.release()
    assert budget.used == 100 * COPIES
    go_on.set()
    await task
    await asyncio.sleep(0)
    assert budget.used == 0


async def test_large_work_runs_in_a_thread_one_at_a_time() -> None:
    """The loop continues meanwhile. Small work stays in the loop's own thread."""
    budget = BodyBudget(1000)
    assert await budget.run(LARGE_BODY, threading.get_ident) == threading.get_ident()
    go_on, started, running, counts = threading.Event(), asyncio.Event(), [0], []
    loop = asyncio.get_running_loop()

    def work() -> None:
        running[0] += 1
        counts.append(running[0])
        loop.call_soon_threadsafe(started.set)
        assert go_on.wait(20)
        running[0] -= 1

    tasks = [asyncio.create_task(budget.run(LARGE_BODY + 1, work)) for _ in range(3)]
    await started.wait()
    go_on.set()
    await asyncio.gather(*tasks)
    assert counts == [1, 1, 1]


@pytest.mark.parametrize("declared", [False, True])
async def test_a_large_body_is_reserved_before_it_is_read(declared: bool) -> None:  # noqa: FBT001
    """Without a known length, the size limit is reserved first."""
    data = bytes(3 * LARGE_BODY)
    budget = BodyBudget(LIMIT * COPIES)
    held = await budget.reserve(LIMIT - 3 * LARGE_BODY + 1)
    context = _context(*([(b"content-length", str(len(data)).encode())] if declared else []))
    reading = asyncio.create_task(read_body(context, _receive(data), LIMIT, budget))
    await _turns()
    assert budget.waiting == 1
    held.release()
    assert await reading == data
    assert budget.used == len(data) * COPIES


async def test_a_compressed_body_counts_what_it_decodes_to() -> None:
    """A small body may be a large one."""
    budget = BodyBudget(LIMIT * COPIES)
    data = gzip.compress(bytes(3 * LARGE_BODY))
    assert len(data) < LARGE_BODY
    context = _context((b"content-encoding", b"gzip"), (b"content-length", str(len(data)).encode()))
    await read_body(context, _receive(data), LIMIT, budget)
    assert budget.used == 3 * LARGE_BODY * COPIES


async def test_small_bodies_take_no_part() -> None:
    """A full budget does not delay them."""
    budget = BodyBudget(1)
    await budget.reserve(1)
    context = _context()
    assert len(await read_body(context, _receive(bytes(LARGE_BODY)), LIMIT, budget)) == LARGE_BODY
    assert context.reservation is None


def _waits_for(release: asyncio.Event) -> Script:
    async def script(_request: RunRequest):  # type: ignore[no-untyped-def] # noqa: ANN202 - a script
        await release.wait()
        for event in [*opening(), text("Hello"), *ending()]:
            yield event

    return script


async def test_a_large_request_waits_until_another_one_has_ended() -> None:
    """Its backend learns that the body is large. Small requests and `/health` are answered meanwhile."""
    release = asyncio.Event()
    async with served(_waits_for(release), max_body_memory=LARGE_BODY) as gateway:
        first = asyncio.create_task(gateway.http.post("/v1/chat/completions", content=_body()))
        await gateway.backend.started.wait()
        second = asyncio.create_task(gateway.http.post("/v1/responses", content=_body().replace(b"messages", b"input")))
        assert (await gateway.http.get("/health")).status_code == 200
        assert len(gateway.backend.requests) == 1
        release.set()
        assert [(await first).status_code, (await second).status_code] == [200, 200]
    assert [request.request_options.large for request in gateway.backend.requests] == [True, True]


async def test_a_background_response_keeps_its_memory_after_its_request() -> None:
    """Cancelling it frees the memory for the next one."""
    async with served(hangs(), max_body_memory=LARGE_BODY) as gateway:
        body = _body(background=True, store=True).replace(b"messages", b"input")
        created = await gateway.http.post("/v1/responses", content=body)
        assert created.json()["status"] in {"queued", "in_progress"}
        second = asyncio.create_task(gateway.http.post("/v1/responses", content=body))
        assert (await gateway.http.get("/health")).status_code == 200
        assert not second.done()
        await gateway.http.post(f"/v1/responses/{created.json()['id']}/cancel")
        cancelled = (await second).json()
        await gateway.http.post(f"/v1/responses/{cancelled['id']}/cancel")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/embeddings"])
async def test_millions_of_tiny_values_are_refused(path: str) -> None:
    """Three bytes of JSON become more than fifty in memory."""
    data = b'{"model": "sonnet", "x": [' + b"[]," * 1_000_000 + b"[]]}"
    async with served(replies("Hello")) as gateway:
        response = await gateway.http.post(path, content=data)
    assert response.status_code == 400
    assert "JSON values" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (b"[" + b"1," * 99 + b"1]", 100),
        (b'{"a": "' + b"," * 500 + b'"}', 1),
        (b'["' + b'\\",' * 500 + b'"]', 1),
        (b'["' + b"\\\\" * 500 + b'", 1]', 2),
        (b'["\\\\\\"", {"a": [","]}]', 4),
    ],
)
@pytest.mark.parametrize("part", [1, 2, 3, 7, 2**20])
def test_values_are_counted_outside_of_strings(data: bytes, count: int, part: int) -> None:
    """However the body is cut into parts."""
    check_value_count(data, count + 1, part)
    with pytest.raises(InvalidRequest):
        check_value_count(data, count, part)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
async def test_a_thread_pauses_after_each_long_step(path: str) -> None:
    """Also between two steps of one decoding: else a small request waits for each of them."""
    steps: list[str] = []

    def note(frame: FrameType, event: str, called: object) -> None:
        """Note each pause, and each call into msgspec that decodes or encodes JSON, but not that of a short field."""
        name = str(getattr(called, "__qualname__", "")) if event == "c_call" else ""
        is_short = len(frame.f_locals.get("part") or b"") in range(1, LONG_STEP)
        if name in {"sleep", "Decoder.decode", "Encoder.encode", "json_decode", "json_encode"} and not is_short:
            steps.append(name)

    long_text = "lorem ipsum\n" * (LONG_STEP // 12)
    fields = {"input": long_text} if path == "/v1/responses" else json.loads(_body(long_text))
    async with served(replies("Hello")) as gateway:
        threading.setprofile(note)  # of threads that start from now on
        try:
            response = await gateway.http.post(path, json={"model": "sonnet", "max_tokens": 9, **fields})
        finally:
            threading.setprofile(None)
    assert response.status_code == 200
    assert "Decoder.decode" in steps or "json_decode" in steps
    assert all("sleep" in pair for pair in pairwise(steps))
