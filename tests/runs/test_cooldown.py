"""How long an account that failed is left alone."""

from routing_fakes import Clock

from dragoman.routing.circuit_breaker import CircuitBreaker


def test_it_grows_with_each_failure_in_a_row_up_to_ten_minutes() -> None:
    """5 seconds, doubled each time; a success ends it."""
    clock = Clock()
    rest = CircuitBreaker(clock)
    seen = []
    for _ in range(9):
        rest.failed(rest.now(), "overloaded", None)
        seen.append(rest.left)
        clock.now += rest.left
        assert rest.left == 0
    assert seen == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    rest.worked(rest.now())
    assert rest.failures == 0
    rest.failed(rest.now(), "overloaded", None)
    assert rest.left == 5


def test_it_is_as_long_as_the_account_asks() -> None:
    """Never shorter, and a shorter wish does not shorten it."""
    clock = Clock()
    rest = CircuitBreaker(clock)
    rest.failed(clock.now, "rate_limit_exceeded", 900)
    assert rest.left == 900
    clock.now += 1
    rest.failed(clock.now, "rate_limit_exceeded", 1)
    assert rest.left == 899


def test_runs_that_fail_together_count_as_one() -> None:
    """They were under way when the first failed, and say nothing new; nor does one that succeeds."""
    clock = Clock()
    rest = CircuitBreaker(clock)
    began = rest.now()
    clock.now += 2
    for _ in range(16):
        rest.failed(began, "overloaded", None)
    assert (rest.failures, rest.left) == (1, 5)
    rest.worked(began)
    assert rest.failures == 1
    rest.failed(began, "overloaded", 30)
    assert (rest.failures, rest.left) == (1, 30)
