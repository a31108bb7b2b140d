"""The journal: what is known of runs, while they go on and after."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

import pytest
from scripted import ScriptedBackend, by_turn, fails, hangs, opening, says, text

from dragoman.core.catalog import MODELS
from dragoman.core.errors import Conflict, NotFound, Overloaded, RunCancelled, StoreFailed
from dragoman.core.events import Event
from dragoman.core.messages import MessagesRequest
from dragoman.runs.engine import Engine, Limits
from dragoman.runs.records import RunRegistry
from dragoman.runs.run import Run
from dragoman.stores.run_records import RunPage, RunQuery, RunRecord

MODEL = next(model for model in MODELS if model.id == "claude-sonnet-5-5")
BODY: MessagesRequest = {"model": MODEL.id, "max_tokens": 9, "messages": []}


class Memory:
    """A store of runs that is a dictionary.

    Attributes:
        broken: Whether it fails.
        fault: What nobody foresaw.
        saves: How often something was saved.
    """

    def __init__(self) -> None:
        self.records: dict[str, RunRecord] = {}
        self.broken = False
        self.fault: Exception | None = None
        self.closed = False
        self.saves = 0

    async def save(self, records: Sequence[RunRecord]) -> None:
        """Keep them."""
        if self.broken:
            raise StoreFailed("No.")
        if self.fault:
            raise self.fault
        self.saves += 1
        self.records |= {record.id: record for record in records}

    async def get(self, id_: str) -> RunRecord | None:
        """Look one up."""
        return self.records.get(id_)

    async def page(self, query: RunQuery) -> RunPage | None:
        """All that are wanted."""
        if query.after:
            return None
        return RunPage([record for record in reversed(self.records.values()) if query.matches(record)], more=False)

    async def aclose(self) -> None:
        """Remember it."""
        self.closed = True


def made(
    script: Callable[..., AsyncGenerator[Event, None]], *, content: bool = False, places: int = 8
) -> tuple[Engine, Memory]:
    """An engine whose runs are recorded."""
    store = Memory()
    limits = Limits(max_concurrency=places)
    return Engine(ScriptedBackend(script), limits, registry=RunRegistry(store, content=content)), store


async def ended(run: Run) -> None:
    """Wait until a run is over, however."""
    while not run.settled:
        try:
            if await run.next(None) is None:
                await run.cancel("over")
        except Overloaded:
            await run.cancel("over")


async def test_a_run_that_succeeds() -> None:
    """All that is known of it stands in its record: who, where, how long, what it used and what that cost."""
    engine, store = made(says("Hello"))
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


async def test_prompts_and_answers_where_they_are_wanted() -> None:
    """With the setting they stand beside the record."""
    engine, _ = made(says("Hello"), content=True)
    run = engine.submit(BODY, MODEL, client="me")
    await ended(run)
    record = await engine.registry.get(run.id)
    assert record.prompt == BODY
    assert record.response is not None
    assert record.response["content"] == [{"type": "text", "text": "Hello"}]


async def test_a_run_that_fails() -> None:
    """The code of its error."""
    engine, _ = made(fails(Overloaded("Busy.")))
    run = engine.submit(BODY, MODEL, client="me")
    await ended(run)
    record = await engine.registry.get(run.id)
    assert (record.status, record.error, record.cost) == ("failed", "overloaded", None)


async def test_runs_that_go_on() -> None:
    """They are listed as they stand at that moment, those that wait too, and looked up by id."""
    engine, store = made(hangs(after=[*opening(), text("Hel")]), places=1)
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


async def test_cancelling() -> None:
    """The run ends as cancelled, its place is free, and its reader is told; a second time is a conflict."""
    engine, _ = made(hangs(after=opening()), places=1)
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


async def test_cancelling_a_run_that_waits() -> None:
    """It leaves the queue."""
    engine, _ = made(hangs(), places=1)
    first, second = (engine.submit(BODY, MODEL, client="me") for _ in range(2))
    await engine.registry.cancel(second.id)
    assert (engine.queued, second.status) == (0, "cancelled")
    await engine.registry.cancel(first.id)


async def test_a_run_of_another_gateway() -> None:
    """It is seen, and left alone."""
    engine, store = made(says("Hello"))
    await store.save(
        [RunRecord(id="run_x", request=None, status="running", model="m", client="me", endpoint=None, created=1.0)]
    )
    with pytest.raises(Conflict, match="another gateway"):
        await engine.registry.cancel("run_x")


async def test_an_answer_that_is_rejected_later() -> None:
    """The record is put right."""
    engine, _ = made(says("Hello"))
    run = engine.submit(BODY, MODEL, client="me")
    await ended(run)
    assert (await engine.registry.get(run.id)).status == "succeeded"
    run.reject(Overloaded("Not what was asked for."))
    assert (await engine.registry.get(run.id)).status == "failed"


async def test_many_are_written_together() -> None:
    """A hundred runs of one moment take one write, and none of them waits for it."""
    engine, store = made(says("Hello"))
    runs = [engine.submit(BODY, MODEL, client="me") for _ in range(100)]
    await asyncio.gather(*map(ended, runs))
    await engine.registry.flush()
    assert len(store.records) == 100
    assert store.saves <= 3


async def test_a_store_that_fails_for_a_time() -> None:
    """Runs go on as ever; what was not written is written then, without what was said, and nobody takes it for open."""
    engine, store = made(by_turn(hangs(after=opening()), says("Hello")), content=True)
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


async def test_what_waits_for_a_store_is_bounded() -> None:
    """The newest thousand."""
    engine, store = made(says("Hello"))
    store.broken = True
    for _ in range(11):
        runs = [engine.submit(BODY, MODEL, client="me") for _ in range(100)]
        await asyncio.gather(*map(ended, runs))
        await engine.registry.flush()
    store.broken = False
    await engine.registry.flush()
    assert len(store.records) == 1000
    assert runs[-1].id in store.records


async def test_a_record_that_cannot_be_written_at_all() -> None:
    """It is in the log, and in nobody's way."""
    engine, store = made(says("Hello"))
    store.fault = UnicodeEncodeError("utf-8", "x", 0, 1, "no")
    run = engine.submit(BODY, MODEL, client="me")
    await ended(run)
    await engine.registry.flush()
    store.fault = None
    await engine.registry.flush()
    assert store.records == {}


async def test_pages_without_a_store() -> None:
    """Those that go on, a page at a time."""
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
    """Runs are known while they go on, and not after."""
    engine = Engine(ScriptedBackend(hangs()), Limits())
    run = engine.submit(BODY, MODEL, client="me")
    assert [record.id for record in (await engine.registry.page(RunQuery(model="sonnet"))).runs] == [run.id]
    assert (await engine.registry.page(RunQuery(model="opus"))).runs == []
    await engine.registry.cancel(run.id)
    with pytest.raises(NotFound):
        await engine.registry.get(run.id)
    await engine.registry.aclose()


async def test_looking_on() -> None:
    """One who comes late is told all that was said as a whole, then each event; one who is slow, the same again."""
    go, said = asyncio.Event(), asyncio.Event()

    async def script(_request: object) -> AsyncGenerator[Event, None]:
        for event in [*opening(), text("Hel")]:
            yield event
        await go.wait()
        for _ in range(1001):
            yield text("x")
        said.set()
        await asyncio.Event().wait()

    engine, _ = made(script)
    run = engine.submit(BODY, MODEL, client="me")
    assert await run.next(None)
    with run.subscribe() as subscriber:
        assert subscriber.take() is None
        assert subscriber.take() == []
        assert not await subscriber.wait(0)
        go.set()
        assert await subscriber.wait(60)
        await said.wait()
        assert subscriber.take() is None
        assert run.result().message["content"] == [{"type": "text", "text": "Hel" + "x" * 1001}]
    await engine.registry.cancel(run.id)
