"""The metric collectors, in Prometheus's text format."""

from prometheus_client import CollectorRegistry, generate_latest

from dragoman.server.metrics import Counts, Durations
from dragoman.server.metrics_page import CountedRequests


def test_counts_by_labels() -> None:
    """Each combination of labels has its own count. A quote in a label's value is escaped."""
    counts = Counts("asked", "Questions", ("route", "status"))
    for labels in (("/a", 200), ("/a", 200), ("/a", 404), ('/"', 200)):
        counts.values[labels] += 1
    lines = _lines(counts)
    assert "# TYPE asked_total counter" in lines
    assert 'asked_total{route="/a",status="200"} 2.0' in lines
    assert 'asked_total{route="/a",status="404"} 1.0' in lines
    assert r'asked_total{route="/\"",status="200"} 1.0' in lines


def test_duration_buckets_are_cumulative() -> None:
    """A duration equal to a bound is in its bucket. The last bucket contains all."""
    durations = Durations("took", "Time", "route", (0.5, 1, 10))
    for seconds in (0.25, 0.5, 0.75, 20):
        durations.add("/a", seconds)
    lines = _lines(durations)
    counted = [f'took_bucket{{le="{bound}",route="/a"}}' for bound in ("0.5", "1.0", "10.0", "+Inf")]
    assert [line for line in lines if line.startswith("took_bucket")] == [
        f"{name} {count}" for name, count in zip(counted, ("2.0", "3.0", "3.0", "4.0"), strict=True)
    ]
    assert 'took_count{route="/a"} 4.0' in lines
    assert 'took_sum{route="/a"} 21.5' in lines


def _lines(counted: Counts | Durations) -> list[str]:
    registry = CollectorRegistry()
    counts, durations = ([counted], []) if isinstance(counted, Counts) else ([], [counted])
    registry.register(CountedRequests(counts, durations))
    return generate_latest(registry).decode().splitlines()
