"""The state machine of limits: reservations, settlements, expiry, clock steps and windows."""

from collections import Counter
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dragoman.limits.rules import MS_PER_MINUTE, Period, Rule, Scope, ScopeKind, Unit, window_at
from dragoman.limits.table import LimitTable, Moment

KEY = Scope(ScopeKind.KEY, "ann")
REQUESTS = Rule(KEY, Unit.REQUESTS, 3)
TOKENS = Rule(Scope(ScopeKind.GATEWAY), Unit.TOKENS, 1_000)
RUNS = Rule(Scope(ScopeKind.TEAM, "web"), Unit.RUNS, 2)
DAILY = Rule(KEY, Unit.DOLLARS, 500, Period.DAY)
MONTHLY = Rule(Scope(ScopeKind.TEAM, "web"), Unit.DOLLARS, 2_000, Period.MONTH)
RULES = (REQUESTS, TOKENS, RUNS, DAILY, MONTHLY)
NOON = 1_790_000_000.0


def at(seconds: float) -> Moment:
    """Return a moment some seconds after a noon."""
    return Moment(int(seconds * 1000), NOON + seconds)


def loaded(*rules: Rule, now: Moment | None = None) -> LimitTable:
    """Return a table whose budgets are loaded, with nothing spent."""
    table = LimitTable()
    for budget, window in table.unloaded(rules, now or at(0)):
        table.load(budget, window, 0)
    return table


def test_all_rules_take_a_run_or_none() -> None:
    """A refusal by the last rule leaves the others as they were."""
    table = loaded(*RULES)
    refusal = table.reserve("a", RULES, {Unit.REQUESTS: 1, Unit.TOKENS: 10, Unit.RUNS: 1, Unit.DOLLARS: 501}, at(0), 10)
    assert refusal is not None
    assert (refusal.state.rule, refusal.needed, refusal.state.remaining) == (DAILY, 501, 500)
    assert [table.state(rule, at(0)).held for rule in RULES] == [0, 0, 0, 0, 0]
    assert table.holds == 0


def test_a_settled_run_is_charged_once_with_what_it_used() -> None:
    """The rest of its reservation is free again."""
    table = loaded(*RULES)
    assert table.reserve("a", RULES, {Unit.TOKENS: 900, Unit.RUNS: 1, Unit.DOLLARS: 400}, at(0), 10) is None
    for _ in range(3):
        table.settle("a", {Unit.TOKENS: 100, Unit.DOLLARS: 7}, at(0))
    assert [table.state(rule, at(0)).used for rule in (TOKENS, RUNS, DAILY, MONTHLY)] == [100, 0, 7, 7]
    assert [table.state(rule, at(0)).held for rule in (RUNS, DAILY, MONTHLY)] == [0, 0, 0]


def test_a_refusal_says_when_to_try_again() -> None:
    """A bucket is refilled evenly, a budget with its window, and slots at no known time."""
    table = loaded(*RULES)
    assert table.reserve("a", RULES, {Unit.REQUESTS: 3, Unit.RUNS: 2, Unit.DOLLARS: 100}, at(0), 10) is None
    by_requests = table.reserve("b", [REQUESTS], {Unit.REQUESTS: 1}, at(5), 10)
    assert by_requests is not None
    assert by_requests.retry_after == pytest.approx(15)
    by_runs = table.reserve("b", [RUNS], {Unit.RUNS: 1}, at(5), 10)
    assert by_runs is not None
    assert by_runs.retry_after is None
    by_holds = table.reserve("b", [DAILY], {Unit.DOLLARS: 401}, at(5), 10)
    assert by_holds is not None
    assert by_holds.retry_after is None
    table.settle("a", {Unit.DOLLARS: 100}, at(5))
    by_spending = table.reserve("b", [DAILY], {Unit.DOLLARS: 401}, at(5), 10)
    assert by_spending is not None
    assert by_spending.retry_after == window_at(Period.DAY, NOON).end - NOON - 5


def test_a_hold_that_is_not_renewed_is_charged_with_what_was_reported() -> None:
    """A run that is settled later, after all, is charged with the difference."""
    table = loaded(*RULES)
    assert table.reserve("a", RULES, {Unit.RUNS: 1, Unit.DOLLARS: 400}, at(0), at(30).ms) is None
    assert table.renew("a", {Unit.DOLLARS: 20}, at(60).ms)
    assert table.expire(at(59)) == []
    assert table.expire(at(60)) == ["a"]
    assert not table.renew("a", {}, at(90).ms)
    assert (table.state(DAILY, at(60)).used, table.state(DAILY, at(60)).held, table.state(RUNS, at(60)).used) == (
        20,
        0,
        0,
    )
    table.settle("a", {Unit.DOLLARS: 50}, at(70))
    table.settle("a", {Unit.DOLLARS: 50}, at(70))
    assert (table.state(DAILY, at(70)).used, table.state(MONTHLY, at(70)).used) == (50, 50)


def test_a_run_is_charged_in_the_window_in_which_it_began() -> None:
    """Also what it reserves in addition after midnight."""
    table = loaded(DAILY)
    late = window_at(Period.DAY, NOON).end - 1 - NOON
    assert table.reserve("a", [DAILY], {Unit.DOLLARS: 100}, at(late), at(late + 60).ms) is None
    for budget, window in table.unloaded([DAILY], at(late + 2)):
        table.load(budget, window, 0)
    assert table.reserve("a", [DAILY], {Unit.DOLLARS: 100}, at(late + 2), at(late + 60).ms) is None
    refusal = table.reserve("a", [DAILY], {Unit.DOLLARS: 301}, at(late + 2), at(late + 60).ms)
    assert refusal is not None
    table.settle("a", {Unit.DOLLARS: 150}, at(late + 3))
    assert table.state(DAILY, at(late + 3)).used == 0
    assert table.state(DAILY, at(late)).used == 150


def test_a_reservation_larger_than_its_bucket_passes_when_the_bucket_is_full() -> None:
    """What it really uses is charged, so that the average holds."""
    table = LimitTable()
    assert table.reserve("a", [TOKENS], {Unit.TOKENS: 5_000}, at(0), 10) is None
    table.settle("a", {Unit.TOKENS: 3_000}, at(0))
    refusal = table.reserve("b", [TOKENS], {Unit.TOKENS: 1}, at(60), 10)
    assert refusal is not None
    assert refusal.state.remaining == 0
    assert table.reserve("b", [TOKENS], {Unit.TOKENS: 1_000}, at(180), 10) is None


@pytest.mark.parametrize(
    ("period", "start", "hours"),
    [
        (Period.DAY, "2026-10-25T00:00:00+02:00", 25),
        (Period.WEEK, "2026-10-19T00:00:00+02:00", 7 * 24 + 1),
        (Period.MONTH, "2026-10-01T00:00:00+02:00", 31 * 24 + 1),
    ],
)
def test_windows_follow_the_calendar_of_their_zone(period: Period, start: str, hours: int) -> None:
    """This is the day on which clocks are set back."""
    window = window_at(
        period, datetime.fromisoformat("2026-10-25T12:00:00+01:00").timestamp(), ZoneInfo("Europe/Berlin")
    )
    assert window.start == datetime.fromisoformat(start).timestamp()
    assert window.end - window.start == hours * 3600


class LimitMachine(RuleBasedStateMachine):
    """Runs that begin, renew, add to their holds, settle several times or crash, under clocks that step."""

    def __init__(self) -> None:
        super().__init__()
        self.table = LimitTable()
        self.now = at(0)
        self.count = 0
        self.open: dict[str, Counter[Unit]] = {}
        self.reported: dict[str, Counter[Unit]] = {}
        self.began: dict[str, Moment] = {}
        self.spent: Counter[tuple[str, int]] = Counter()
        self.taken: list[tuple[int, str]] = []
        self.tokens: dict[str, int] = {}

    def load(self) -> None:
        """Load the budgets that the table has not seen: from a ledger that knows what was settled."""
        for budget, window in self.table.unloaded(RULES, self.now):
            self.table.load(budget, window, self.spent[str(budget), window.start])

    @rule(tokens=st.integers(1, 700), dollars=st.integers(1, 300))
    def begin(self, tokens: int, dollars: int) -> None:
        """Start a run, if the table admits it."""
        self.load()
        self.count += 1
        hold = f"run-{self.count}"
        amounts = Counter({Unit.REQUESTS: 1, Unit.TOKENS: tokens, Unit.RUNS: 1, Unit.DOLLARS: dollars})
        if self.table.reserve(hold, RULES, amounts, self.now, self.now.ms + 30_000) is None:
            self.open[hold], self.began[hold], self.reported[hold] = amounts, self.now, Counter()
            self.taken.append((self.now.ms, hold))
            self.tokens[hold] = tokens

    @precondition(lambda self: self.open)
    @rule(data=st.data(), dollars=st.integers(1, 300))
    def add(self, data: st.DataObject, dollars: int) -> None:
        """Reserve more for a run."""
        self.load()
        hold = data.draw(st.sampled_from(sorted(self.open)))
        more = {Unit.DOLLARS: dollars}
        if self.table.reserve(hold, (DAILY, MONTHLY), more, self.now, self.now.ms + 30_000) is None:
            self.open[hold].update(more)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        """Renew a hold, with what its run has used so far."""
        hold = data.draw(st.sampled_from(sorted(self.open)))
        self.reported[hold] = self.some_of(hold, data)
        assert self.table.renew(hold, self.reported[hold], self.now.ms + 30_000)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), times=st.integers(1, 3))
    def settle(self, data: st.DataObject, times: int) -> None:
        """End a run. The end may be reported several times."""
        hold = data.draw(st.sampled_from(sorted(self.open)))
        used = self.some_of(hold, data)
        for _ in range(times):
            self.table.settle(hold, used, self.now)
        self.end(hold, used)

    @rule(seconds=st.floats(0, 100_000), step=st.integers(-90_000, 90_000))
    def wait(self, seconds: float, step: int) -> None:
        """Let time pass. The wall clock may be set in addition. Runs that were not renewed expire."""
        self.now = Moment(self.now.ms + int(seconds * 1000), self.now.wall + seconds + step)
        for hold in self.table.expire(self.now):
            self.end(hold, self.reported[hold])
        self.table.forget(self.now)

    def some_of(self, hold: str, data: st.DataObject) -> Counter[Unit]:
        """Return a use within what a run has reserved."""
        reserved = self.open[hold]
        return Counter(
            {unit: data.draw(st.integers(0, reserved[unit])) for unit in (Unit.TOKENS, Unit.DOLLARS)}
            | {Unit.REQUESTS: 1}
        )

    def end(self, hold: str, used: Counter[Unit]) -> None:
        """Write the end of a run to the ledger."""
        del self.open[hold]
        self.tokens[hold] = used[Unit.TOKENS]
        for budget in (DAILY, MONTHLY):
            self.spent[str(budget), self.table.window(budget, self.began[hold]).start] += used[Unit.DOLLARS]

    @invariant()
    def nothing_is_exceeded(self) -> None:
        """No budget is over by a nanodollar, no limit on runs by a run."""
        self.load()
        for budget in (DAILY, MONTHLY):
            state = self.table.state(budget, self.now)
            assert state.used == self.spent[str(budget), self.table.window(budget, self.now).start]
            assert state.used + state.held <= budget.amount
        assert self.table.state(RUNS, self.now).used == len(self.open) == self.table.holds <= RUNS.amount

    @invariant()
    def no_bucket_was_ever_below_zero(self) -> None:
        """Known afterwards, with what each run has really used."""
        level, updated = TOKENS.amount * MS_PER_MINUTE, 0
        for ms, hold in self.taken:
            level = min(TOKENS.amount * MS_PER_MINUTE, level + (ms - updated) * TOKENS.amount)
            level -= self.tokens[hold] * MS_PER_MINUTE
            updated = ms
            assert level >= 0

    def teardown(self) -> None:
        """When all is settled, nothing is blocked."""
        for hold in list(self.open):
            self.table.settle(hold, {}, self.now)
        later = Moment(self.now.ms + MS_PER_MINUTE, self.now.wall)
        self.load()
        for known in RULES:
            state = self.table.state(known, later)
            assert state.held == 0
            assert state.remaining == known.amount - (state.used if known.unit is Unit.DOLLARS else 0)


TestLimitMachine = LimitMachine.TestCase
TestLimitMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
pytest.mark.no_cover(TestLimitMachine)
