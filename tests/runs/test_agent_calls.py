"""Calls of agents: each is reserved before it is made, and charged with what it has used."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from dragoman.core.catalog import Catalog
from dragoman.core.errors import QuotaExceeded
from dragoman.core.messages import AgentTask, JSONObject, MessagesRequest, RequestOptions
from dragoman.core.pricing import max_nanodollars
from dragoman.limits.pools import Hold
from dragoman.limits.rules import NANODOLLARS, Period, Rule, Scope, ScopeKind, Unit
from dragoman.runs.agent_calls import AgentCalls
from dragoman.runs.metering import Meter
from dragoman.runs.policy import Clock
from dragoman.runs.run import Run
from dragoman.testing.memory_limits import MemoryLimits

MODEL = Catalog().resolve("claude-opus-5-5").model
SCOPE = Scope(ScopeKind.KEY, "ann")
SLICE = max_nanodollars(MODEL.id, 10_000, 1024)
BODY: MessagesRequest = {"model": MODEL.id, "messages": [{"role": "user", "content": [{"type": "text", "text": "Go"}]}]}
CALL: JSONObject = {"model": MODEL.id, "max_tokens": 32_000, "messages": [{"role": "user", "content": "x" * 7000}]}
USAGE: JSONObject = {"input_tokens": 1000, "output_tokens": 100}
COST = 6_000_000
TINY_USAGE: JSONObject = {"input_tokens": 1000, "output_tokens": 0}


@dataclass
class OneKey:
    """A policy with some rules for every client."""

    key_rules: tuple[Rule, ...]

    def rules(self, client: str, model: str) -> tuple[Rule, ...]:  # noqa: ARG002 - a `Policy`
        """Return the rules."""
        return self.key_rules

    def all_rules(self) -> Sequence[Rule]:
        """Return the rules."""
        return self.key_rules

    def team(self, client: str) -> str:  # noqa: ARG002 - a `Policy`
        """Return no team."""
        return ""


class Agent:
    """A meter, and one agent's run that it has admitted."""

    def __init__(self, *rules: Rule) -> None:
        self.ledger = MemoryLimits()
        self.ms = 0
        self.meter = Meter(self.ledger, OneKey(rules), None, clock=Clock(ms=lambda: self.ms))
        self.run = Run("ann", MODEL.id)

    async def admit(self) -> AgentCalls:
        """Admit the run."""
        admitted = await self.meter.admit("ann", MODEL, [BODY], RequestOptions(agent=AgentTask()))
        self.run.reservation = admitted.holds[0]
        calls = self.meter.meter_agent(self.run, MODEL)
        assert calls is not None
        return calls

    def hold(self) -> Hold:
        """Return what the run has reserved."""
        assert self.run.reservation is not None
        return self.run.reservation

    async def end(self) -> tuple[int, int]:
        """End the run. Return what is charged, and what is still lent."""
        self.run.mark_cancelled()
        self.meter.note_end(self.run)
        await self.meter.flush(everything=True)
        return sum(row.nanodollars for row in self.ledger.rows.values()), sum((+self.ledger.loans).values())


def budget(nanodollars: int) -> Rule:
    """Return a budget of a month."""
    return Rule(SCOPE, Unit.DOLLARS, nanodollars, Period.MONTH)


async def test_an_agent_reserves_a_slice_and_more_before_each_call() -> None:
    """Not its whole budget at once: several agents share it."""
    agent = Agent(budget(100 * NANODOLLARS))
    calls = await agent.admit()
    assert agent.hold().reserved(Unit.DOLLARS) == SLICE
    call = await calls.begin(CALL)
    needed = max_nanodollars(MODEL.id, 10_010, 32_000)
    assert (call.max_tokens, agent.hold().reserved(Unit.DOLLARS)) == (None, needed)
    call.note(USAGE)
    call.end()
    for other in [await calls.begin(CALL), await calls.begin(CALL)]:  # of two subagents at the same time
        other.note(USAGE)
        other.end()
    assert agent.hold().reserved(Unit.DOLLARS) == COST + 2 * needed
    assert await agent.end() == (3 * COST, 0)
    assert agent.run.nanodollars == 3 * COST  # what metrics show


async def test_a_call_that_the_budget_cannot_pay_is_refused() -> None:
    """The limit of its response is lowered before. The calls before are charged."""
    agent = Agent(budget(max_nanodollars(MODEL.id, 10_010, 2000) + COST // 2))
    calls = await agent.admit()
    first = await calls.begin(CALL)
    assert first.max_tokens is not None
    assert 2000 <= first.max_tokens < 3000
    first.note({"input_tokens": 10_000, "output_tokens": 2000})
    first.end()
    with pytest.raises(QuotaExceeded, match=r"key `ann`.*is renewed on") as caught:
        await calls.begin(CALL)
    assert calls.refusal is caught.value
    assert await agent.end() == (80_000_000, 0)


async def test_each_call_has_the_price_of_its_own_model() -> None:
    """Subagents and small tasks of the runtime use others."""
    agent = Agent(budget(100 * NANODOLLARS))
    calls = await agent.admit()
    for model in (MODEL.id, "claude-haiku-5-5"):
        call = await calls.begin({**CALL, "model": model})
        call.note(TINY_USAGE)
        call.end()
    assert await agent.end() == (4_000_000 + 100_000, 0)


async def test_a_limit_of_a_thinking_call_is_not_lowered() -> None:
    """The API would refuse a response that is shorter than its thinking."""
    agent = Agent(budget(max_nanodollars(MODEL.id, 10_010, 2000)))
    calls = await agent.admit()
    with pytest.raises(QuotaExceeded):
        await calls.begin({**CALL, "thinking": {"type": "enabled", "budget_tokens": 1500}})
    assert await agent.end() == (0, 0)


async def test_a_call_waits_for_tokens_of_the_next_minute() -> None:
    """An agent takes its time: a limit per minute delays it."""
    agent = Agent(Rule(SCOPE, Unit.TOKENS, 60_000_000))
    calls = await agent.admit()
    big = {**CALL, "max_tokens": 59_999_990}
    first = await calls.begin(big)
    first.note({"input_tokens": 60_000_000})
    first.end()
    agent.ms = 1
    waiting = asyncio.create_task(calls.begin({**CALL, "max_tokens": 0}))
    while not waiting.done():
        await asyncio.sleep(0)
        agent.ms += 1
    assert waiting.result().max_tokens is None
    assert agent.hold().reserved(Unit.TOKENS) == 60_010_010


async def test_calls_that_are_not_seen_are_charged_at_the_borders_of_turns() -> None:
    """With a sign-in they do not go through the gateway. The next one has the conversation of this one."""
    agent = Agent(budget(SLICE + 4 * COST + 300_000_000))
    calls = await agent.admit()
    await calls.end_turn(USAGE)
    assert agent.hold().reserved(Unit.DOLLARS) == COST + max_nanodollars(MODEL.id, 11_100, 8_000)
    with pytest.raises(QuotaExceeded):
        await calls.end_turn({"input_tokens": 50_000, "output_tokens": 100})
    assert await agent.end() == (COST + 202_000_000, 0)


async def test_a_run_that_has_ended_reserves_nothing() -> None:
    """Its last call comes too late."""
    agent = Agent(budget(100 * NANODOLLARS))
    calls = await agent.admit()
    beginning = asyncio.create_task(calls.begin(CALL))
    await asyncio.sleep(0)
    charged = await agent.end()
    await asyncio.gather(beginning, return_exceptions=True)
    await agent.meter.flush(everything=True)
    assert charged[0] == 0
    assert +agent.ledger.loans == {}
