"""The calls of an agent's run: each is reserved before it is made, and charged with what it has used.

An agent's run has no bound. So it reserves a slice, and before each call of the model as much more as the call may
cost. When that is refused, the run ends there: what the agent has done until then is kept.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias, cast

from dragoman.core.catalog import Catalog, Model
from dragoman.core.errors import GatewayError, NotFound
from dragoman.core.messages import JSONObject, MessagesRequest
from dragoman.core.pricing import nanodollars_of
from dragoman.core.usage_counts import counts_of
from dragoman.core.value_object import replace
from dragoman.limits.pools import Amounts, Hold, Pool
from dragoman.limits.rules import Unit
from dragoman.limits.table import Refusal
from dragoman.runs.bounds import Bound, affordable_output, bound_of
from dragoman.runs.run import Run

_UNITS = (Unit.TOKENS, Unit.DOLLARS)
_MAX_ATTEMPTS = 4
_UNSEEN_INPUT = 10_000
_UNSEEN_OUTPUT = 8_000
"""Tokens that are reserved, in addition to the conversation, for a call that is not seen before it is made."""


Grow: TypeAlias = Callable[[Hold, Sequence[Pool], Amounts], Awaitable[Refusal | None]]


class AgentCall:
    """One call of the model; see `dragoman.backends.base.ReservedCall`."""

    def __init__(self, bound: Bound, max_tokens: int | None, on_change: Callable[[], None]) -> None:
        self.model = bound.model
        self.max_tokens = max_tokens
        self.usage: JSONObject | None = None
        self.used: Amounts = dict.fromkeys(_UNITS, 0)
        self._bound = bound
        self._on_change = on_change
        self._has_ended = False

    def note(self, usage: JSONObject) -> None:
        """See `ReservedCall.note`."""
        self.usage = usage
        counts = counts_of(usage)
        self.used = {Unit.TOKENS: counts.total, Unit.DOLLARS: nanodollars_of([counts], self.model)}
        self._on_change()

    def end(self) -> None:
        """See `ReservedCall.end`. What was reserved and not used is free for the next call of the run."""
        self._has_ended = True

    def amount(self, unit: Unit) -> int:
        """Return what is used, or may be used until the call has ended."""
        used = self.used[unit]
        if self._has_ended:
            return used
        return max(used, self._bound.tokens if unit is Unit.TOKENS else self._bound.nanodollars)


class AgentCalls:
    """The calls of one agent's run; see `dragoman.backends.base.CallMeter`.

    Args:
        model: The model of the run.
        hold: What the run has reserved.
        pools: The pools of all rules that cover the run.
        grow: Reserves more for the run; see `Meter`.
        error: Makes the error for a client.
        on_change: Called when a call has used something.

    Attributes:
        calls: The calls, in the order in which they were made.
        refusal: Why a call was refused.
    """

    def __init__(
        self,
        model: Model,
        hold: Hold,
        pools: Sequence[Pool],
        *,
        grow: Grow,
        error: Callable[[Refusal], GatewayError],
        on_change: Callable[[], None],
    ) -> None:
        self.calls: list[AgentCall] = []
        self.refusal: GatewayError | None = None
        self._model = model
        self._hold = hold
        self._pools = [pool for pool in pools if pool.rule.unit in _UNITS]
        self._grow = grow
        self._error = error
        self._on_change = on_change
        self._sees_all = False
        self._growing = asyncio.Lock()

    @property
    def usages(self) -> list[JSONObject]:
        """The usage of each call, as far as the API has reported it."""
        return [call.usage for call in self.calls if call.usage]

    def is_exact(self, run: Run) -> bool:
        """Return whether the calls are all that the run has used, and not only what the backend reports of it."""
        return self._sees_all or (run.status != "succeeded" and bool(self.calls))

    async def begin(self, body: JSONObject) -> AgentCall:
        """See `CallMeter.begin`."""
        self._sees_all = True
        name = str(body.get("model"))
        try:
            model = Catalog().resolve(name).model
        except NotFound:
            model = self._model
        thinking = body.get("thinking")
        # A limit of thinking must be lower than that of the response: then the runtime's own limit stays.
        is_fixed = isinstance(thinking, dict) and thinking.get("type") == "enabled"
        bound = bound_of(cast("MessagesRequest", body), model)
        return await self._reserve(replace(bound, model=name, is_default=not is_fixed))

    async def end_turn(self, usage: JSONObject) -> None:
        """See `CallMeter.end_turn`. The next call has this one's prompt and response, and the results of its tools."""
        call = self.calls[-1] if self.calls else self._first_call()
        call.end()
        call.note(usage)
        known = call.used[Unit.TOKENS] + _UNSEEN_INPUT
        bound = Bound(self._model.id, known, _UNSEEN_OUTPUT, fast=False, extra=0, is_default=False)
        await self._reserve(bound)

    def _first_call(self) -> AgentCall:
        """Return the first call, which the slice of the run has paid."""
        call = AgentCall(Bound(self._model.id, 0, 0, fast=False, extra=0, is_default=False), None, self._on_change)
        self.calls.append(call)
        return call

    async def _reserve(self, bound: Bound) -> AgentCall:
        """Reserve for a call. Wait if a limit per minute refuses it; lower its limit if a budget does."""
        first = bound
        async with self._growing:
            for attempt in itertools.count(1):
                if (refusal := await self._try(bound)) is None:
                    break
                unit = refusal.state.rule.unit
                left = refusal.state.remaining + _amount(bound, unit) - refusal.needed
                lower = affordable_output(bound, unit, left)
                if attempt == _MAX_ATTEMPTS or (refusal.retry_after is None and lower is None):
                    self.refusal = self._error(self._for_call(refusal, bound))
                    raise self.refusal
                if refusal.retry_after is not None:
                    await asyncio.sleep(refusal.retry_after)
                elif lower is not None:
                    bound = replace(bound, output=lower)
            call = AgentCall(bound, bound.output if bound is not first else None, self._on_change)
            self.calls.append(call)
            return call

    def _for_call(self, refusal: Refusal, bound: Bound) -> Refusal:
        """Return a refusal of the call alone: what the run has spent is spent, and not reserved by others."""
        state = refusal.state
        unit = state.rule.unit
        if unit is not Unit.DOLLARS:
            return refusal
        spent = used_by(self.calls, unit)
        reserved = next((share.reserved for share in self._hold.shares if share.pool.rule is state.rule), 0)
        held = max(0, state.held - reserved + sum(call.amount(unit) for call in self.calls) - spent)
        state = replace(state, used=state.used + spent, held=held)
        return replace(refusal, state=state, needed=_amount(bound, unit))

    async def _try(self, bound: Bound) -> Refusal | None:
        """Reserve what the run needs in addition to what it has reserved."""
        amounts: dict[Unit, int] = {}
        pools = {id(pool): pool for pool in self._pools}
        pools |= {id(share.pool): share.pool for share in self._hold.shares if share.pool.rule.unit in _UNITS}
        for unit in {pool.rule.unit for pool in pools.values()}:
            needed = _amount(bound, unit) + sum(call.amount(unit) for call in self.calls)
            reserved = {id(share.pool): share.reserved for share in self._hold.shares}
            least = min(reserved.get(key, 0) for key, pool in pools.items() if pool.rule.unit is unit)
            if needed > least:
                amounts[unit] = needed - least
        return await self._grow(self._hold, list(pools.values()), amounts) if amounts else None


def used_by(calls: Iterable[AgentCall], unit: Unit) -> int:
    """Return what calls have used."""
    return sum(call.used[unit] for call in calls)


def _amount(bound: Bound, unit: Unit) -> int:
    return bound.tokens if unit is Unit.TOKENS else bound.nanodollars
