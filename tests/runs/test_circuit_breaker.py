"""How long an upstream that failed gets no runs."""

from routing_fakes import Clock

from dragoman.routing.circuit_breaker import CircuitBreaker


def test_the_pause_doubles_with_each_failure_in_a_row_up_to_ten_minutes() -> None:
    """It begins with 5 seconds. A success ends it."""
    clock = Clock()
    breaker = CircuitBreaker(clock)
    pauses = []
    for _ in range(9):
        breaker.record_failure(breaker.now(), "overloaded", None)
        pauses.append(breaker.remaining)
        clock.now += breaker.remaining
        assert breaker.remaining == 0
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    breaker.record_success(breaker.now())
    assert breaker.failures == 0
    breaker.record_failure(breaker.now(), "overloaded", None)
    assert breaker.remaining == 5


def test_the_pause_is_as_long_as_the_upstream_asks_for() -> None:
    """It is never shorter, and a shorter request does not shorten it."""
    clock = Clock()
    breaker = CircuitBreaker(clock)
    breaker.record_failure(clock.now, "rate_limit_exceeded", 900)
    assert breaker.remaining == 900
    clock.now += 1
    breaker.record_failure(clock.now, "rate_limit_exceeded", 1)
    assert breaker.remaining == 899


def test_runs_that_fail_together_count_as_one_failure() -> None:
    """They started before the first failure. A success of such a run does not end the pause either."""
    clock = Clock()
    breaker = CircuitBreaker(clock)
    started_at = breaker.now()
    clock.now += 2
    for _ in range(16):
        breaker.record_failure(started_at, "overloaded", None)
    assert (breaker.failures, breaker.remaining) == (1, 5)
    breaker.record_success(started_at)
    assert breaker.failures == 1
    breaker.record_failure(started_at, "overloaded", 30)
    assert (breaker.failures, breaker.remaining) == (1, 30)
