"""The registry of runs, and the records that it writes."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

import pytest
from scripted import ScriptedBackend, fails, hangs, in_sequence, opening, replies, text

from dragoman.core.catalog import MODELS
from dragoman.core.errors import Conflict, NotFound, Overloaded, RunCancelled, StoreFailed
from dragoman.core.events import Event
from dragoman.core.messages import MessagesRequest
from dragoman.core.redaction import REDACTED, Redactor
from dragoman.core.warnings import RequestWarning
from dragoman.runs.engine import Engine, Limits
from dragoman.runs.records import RunRegistry
from dragoman.runs.run import Run
from dragoman.stores.run_records import RunPage, RunQuery, RunRecord

MODEL = next(model for model in MODELS if model.id == "claude-sonnet-5-5")
BODY: MessagesRequest = {"model": MODEL.id, "max_tokens": 9, "messages": []}


class MemoryStore:
    """A store of run records in memory.

    Attributes:
        broken: Whether it fails.
        bug: An unexpected error that it raises.
        saves: The number of successful saves.
    """

    def __init__(self) -> None:
        self.records: dict[str, RunRecord] = {}
        self.broken = False
        self.bug: Exception | None = None
        self.closed = False
        self.saves = 0

    async def save(self, records: Sequence[RunRecord]) -> None:
        """Save records."""
        if self.broken:
            raise StoreFailed("No.")
        if self.bug:
            raise self.bug
        self.saves += 1
        self.records |= {record.id: record for record in records}

    async def get(self, id_: str) -> RunRecord | None:
        """Return a record."""
        return self.records.get(id_)

    async def page(self, query: RunQuery) -> RunPage | None:
        """Return the records that match."""
        if query.after:
            return None
        return RunPage([record for record in reversed(self.records.values()) if query.matches(record)], more=False)

    async def aclose(self) -> None:
        """Record the call."""
        self.closed = True


def recorded(
    script: Callable[..., AsyncGenerator[Event, None]], *, content: bool = False, slots: int = 8
) -> tuple[Engine, MemoryStore]:
    """Return an engine whose runs are recorded, and the store."""
    store = MemoryStore()
    limits = Limits(max_concurrency=slots)
    return Engine(ScriptedBackend(script), limits, registry=RunRegistry(store, content=content)), store


async def ended(run: Run) -> None:
    """Wait until a run has ended, in whatever way."""
    while not run.settled:
        try:
            if await run.next(None) is None:
                await run.cancel("over")
        except Overloaded:
            await run.cancel("over")


async def test_record_of_a_run_that_succeeded() -> None:
    """It contains the client, the request, the durations, the usage and the cost."""
    engine, store = recorded(replies("Hello"))
    run = engine.submit(BODY, MODEL, client="me")
    run.set_origin("req_1", "/v1/messages")
    await ended(run)
    await engine.registry.aclose()
    record = store.records[run.id]
    assert (record.status, record.client, record.request, record.endpoint) == (
        "succeeded",
        "me",
        "req_1",
        "/v1/messages",
    )
    assert (record.path, record.usage) == ("warm", {"input_tokens": 5, "output_tokens": 7})
    assert record.cost == pytest.approx(5 * 2e-6 + 7 * 10e-6)
    assert {"queue", "process", "first_token", "total"} <= set(record.stages)
    assert record.ended == pytest.approx(record.created + record.stages["total"])
    assert (record.prompt, record.response, record.error) == (None, None, None)
    assert store.closed


async def test_prompt_and_response_are_recorded_if_the_setting_is_on() -> None:
    """They are part of the record."""
    engine, _ = recorded(replies("Hello"), content=True)
    run = engine.submit(BODY, MODEL, client="me")
    await ended(run)
    record = await engine.registry.get(run.id)
    assert record.prompt == BODY
    assert record.response is not None
    assert record.response["content"] == [{"type": "text", "text": "Hello"}]


async def test_record_of_a_run_that_failed() -> None:
    """It contains the code of the error."""
    engine, _ = recorded(fails(Overloaded("Busy.")))
    run = engine.submit(BODY, MODEL, client="me")
    await ended(run)
    record = await engine.registry.get(run.id)
    assert (record.status, record.error, record.cost) == ("failed", "overloaded", None)


async def test_open_runs() -> None:
    """They are listed and returned with their current state, queued ones too."""
    engine, store = recorded(hangs(after=[*opening(), text("Hel")]), slots=1)
    running = engine.submit(BODY, MODEL, client="me")
    waiting = engine.submit(BODY, MODEL, client="you")
    await running.next(None)
    page = await engine.registry.page(RunQuery())
    assert [(record.id, record.status) for record in page.runs] == [(waiting.id, "queued"), (running.id, "running")]
    assert page.runs[1].usage == {"input_tokens": 5, "output_tokens": 1}
    assert [r.id for r in (await engine.registry.page(RunQuery(client="you"))).runs] == [waiting.id]
    assert (await engine.registry.get(running.id)).status == "running"
    await engine.aclose(0)
    await engine.registry.flush()
    assert {record.status for record in store.records.values()} == {"failed"}
    assert {record.error for record in store.records.values()} == {"shutting_down"}


async def test_the_operator_cancels_a_run() -> None:
    """The run is cancelled, its slot is free, and its reader gets an error. A second time it is a conflict."""
    engine, _ = recorded(hangs(after=opening()), slots=1)
    run = engine.submit(BODY, MODEL, client="me")
    assert await run.next(None)
    record = await engine.registry.cancel(run.id)
    assert (record.status, record.error) == ("cancelled", "run_cancelled")
    assert engine.running == 0
    with pytest.raises(RunCancelled):
        await run.next(None)
    with pytest.raises(Conflict, match="already ended: cancelled"):
        await engine.registry.cancel(run.id)
    with pytest.raises(NotFound):
        await engine.registry.cancel("run_none")


async def test_the_operator_cancels_a_queued_run() -> None:
    """It leaves the queue."""
    engine, _ = recorded(hangs(), slots=1)
    first, second = (engine.submit(BODY, MODEL, client="me") for _ in range(2))
    await engine.registry.cancel(second.id)
    assert (engine.queued, second.status) == (0, "cancelled")
    await engine.registry.cancel(first.id)


async def test_a_run_of_another_gateway_cannot_be_cancelled() -> None:
    """It is only shown."""
    engine, store = recorded(replies("Hello"))
    await store.save(
        [RunRecord(id="run_x", request=None, status="running", model="m", client="me", endpoint=None, created=1.0)]
    )
    with pytest.raises(Conflict, match="another gateway"):
        await engine.registry.cancel("run_x")


async def test_a_response_that_is_rejected_after_its_run_ended() -> None:
    """The record is corrected."""
    engine, _ = recorded(replies("Hello"))
    run = engine.submit(BODY, MODEL, client="me")
    await ended(run)
    assert (await engine.registry.get(run.id)).status == "succeeded"
    run.reject(Overloaded("Not what was asked for."))
    assert (await engine.registry.get(run.id)).status == "failed"


async def test_warnings_are_recorded_without_secrets() -> None:
    """Warnings quote what a client sent, which may be a key: by its shape, or one that the gateway holds."""
    store = MemoryStore()
    registry = RunRegistry(store, redactor=Redactor(["hunter2-of-the-gateway"]))
    engine = Engine(ScriptedBackend(replies("Hello")), Limits(), registry=registry)
    run = engine.submit(BODY, MODEL, client="me")
    warning = RequestWarning("ignored", "sk-ant-0123456789abcdef", "The gateway ignores hunter2-of-the-gateway.")
    run.add_warnings((warning,))
    await ended(run)
    await registry.flush()
    expected = {"code": "ignored", "param": REDACTED, "detail": f"The gateway ignores {REDACTED}."}
    assert store.records[run.id].warnings == (expected,)
    assert (await registry.get(run.id)).warnings == (expected,)


async def test_records_are_written_together() -> None:
    """A hundred runs at once, with two changes or more each, take few writes. No run waits for them."""
    engine, store = recorded(replies("Hello"))
    runs = [engine.submit(BODY, MODEL, client="me") for _ in range(100)]
    await asyncio.gather(*map(ended, runs))
    await engine.registry.flush()
    assert len(store.records) == 100
    assert store.saves < 25  # the number grows with the time that the runs take: on a busy machine, seconds


async def test_a_store_that_fails_for_a_time() -> None:
    """Runs continue. Their records are written later, without prompts and responses."""
    engine, store = recorded(in_sequence(hangs(after=opening()), replies("Hello")), content=True)
    first = engine.submit(BODY, MODEL, client="me")
    await first.next(None)
    await engine.registry.flush()
    store.broken = True
    await first.cancel("over")
    await engine.registry.flush()
    assert store.records[first.id].status == "running"
    store.broken = False
    second = engine.submit(BODY, MODEL, client="me")
    await ended(second)
    await engine.registry.flush()
    assert {id_: record.status for id_, record in store.records.items()} == {
        first.id: "cancelled",
        second.id: "succeeded",
    }
    assert [store.records[run.id].response is None for run in (first, second)] == [True, False]
    with pytest.raises(NotFound, match="could continue"):
        await engine.registry.page(RunQuery(after="run_none"))


async def test_records_that_wait_for_a_store_are_bounded() -> None:
    """The newest thousand are kept."""
    engine, store = recorded(replies("Hello"))
    store.broken = True
    for _ in range(11):
        runs = [engine.submit(BODY, MODEL, client="me") for _ in range(100)]
        await asyncio.gather(*map(ended, runs))
        await engine.registry.flush()
    store.broken = False
    await engine.registry.flush()
    assert len(store.records) == 1000
    assert runs[-1].id in store.records


async def test_a_record_that_can_never_be_written() -> None:
    """The log has it. Later records are written."""
    engine, store = recorded(replies("Hello"))
    store.bug = UnicodeEncodeError("utf-8", "x", 0, 1, "no")
    run = engine.submit(BODY, MODEL, client="me")
    await ended(run)
    await engine.registry.flush()
    store.bug = None
    await engine.registry.flush()
    assert store.records == {}
    later = engine.submit(BODY, MODEL, client="me")
    await ended(later)
    await engine.registry.flush()
    assert list(store.records) == [later.id]


async def test_pages_without_a_store() -> None:
    """They contain the open runs."""
    engine = Engine(ScriptedBackend(hangs()), Limits())
    runs = [engine.submit(BODY, MODEL, client="me").id for _ in range(3)]
    first = await engine.registry.page(RunQuery(limit=2))
    second = await engine.registry.page(RunQuery(limit=2, after=first.runs[-1].id))
    assert ([record.id for record in first.runs], first.more) == (runs[:0:-1], True)
    assert ([record.id for record in second.runs], second.more) == (runs[:1], False)
    with pytest.raises(NotFound, match="could continue"):
        await engine.registry.page(RunQuery(after="run_none"))
    await engine.aclose(0)


async def test_without_a_store() -> None:
    """Runs are known until they end."""
    engine = Engine(ScriptedBackend(hangs()), Limits())
    run = engine.submit(BODY, MODEL, client="me")
    assert [record.id for record in (await engine.registry.page(RunQuery(model="sonnet"))).runs] == [run.id]
    assert (await engine.registry.page(RunQuery(model="opus"))).runs == []
    await engine.registry.cancel(run.id)
    with pytest.raises(NotFound):
        await engine.registry.get(run.id)
    await engine.registry.aclose()


async def test_subscribers() -> None:
    """A subscriber that starts late reads the result first, then each event; one that is slow does so again."""
    proceed, sent = asyncio.Event(), asyncio.Event()

    async def script(_request: object) -> AsyncGenerator[Event, None]:
        for event in [*opening(), text("Hel")]:
            yield event
        await proceed.wait()
        for _ in range(1001):
            yield text("x")
        sent.set()
        await asyncio.Event().wait()

    engine, _ = recorded(script)
    run = engine.submit(BODY, MODEL, client="me")
    assert await run.next(None)
    with run.subscribe() as subscriber:
        assert subscriber.take() is None
        assert subscriber.take() == []
        assert not await subscriber.wait(0)
        proceed.set()
        assert await subscriber.wait(60)
        await sent.wait()
        assert subscriber.take() is None
        assert run.result().message["content"] == [{"type": "text", "text": "Hel" + "x" * 1001}]
    await engine.registry.cancel(run.id)
