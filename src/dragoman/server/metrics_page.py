"""The page for Prometheus, in a registry of our own."""

import asyncio
import collections
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from dragoman.core.messages import JSON, JSONObject
from dragoman.runs.engine import Engine
from dragoman.runs.response_cache import RunCache
from dragoman.server.limit_metrics import LimitMetrics
from dragoman.server.metrics import Counts, Durations
from dragoman.server.options import Operations


class MetricsPage:
    """The metrics in the text format.

    Args:
        engine: Has the current runs.
        operations: Has the state of the backends.
        counts: Counters.
        durations: Histograms.
        cache: The response cache, if there is one.

    Attributes:
        content_type: The media type of the text.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(
        self,
        engine: Engine,
        operations: Operations,
        counts: Sequence[Counts],
        durations: Sequence[Durations],
        cache: RunCache | None,
    ) -> None:
        self._registry = CollectorRegistry()
        self._limits = LimitMetrics(engine.meter)
        self._registry.register(self._limits)
        self._registry.register(_CurrentState(engine, operations))
        ProcessCollector(registry=self._registry)
        self._registry.register(CountedRequests(counts, durations))
        if cache is not None:
            self._registry.register(_CacheState(cache))

    async def refresh(self) -> None:
        """Read what takes time to read. Call it before `text`."""
        await self._limits.refresh()

    def text(self) -> bytes:
        """Return the current values."""
        return generate_latest(self._registry)


class CountedRequests(Collector):
    """Turns counters and histograms into metric families."""

    def __init__(self, counts: Sequence[Counts], durations: Sequence[Durations]) -> None:
        self._counts = counts
        self._durations = durations

    def collect(self) -> Iterator[Metric]:
        """Return the metric families."""
        for counted in self._counts:
            name, description, labels = counted.family
            counter = CounterMetricFamily(name, description, labels=labels)
            for labels_of_count, count in counted.values.items():
                counter.add_metric([str(value) for value in labels_of_count], count / counted.divisor)
            yield counter
        for timed in self._durations:
            name, description, labels = timed.family
            histogram = HistogramMetricFamily(name, description, labels=labels)
            bounds = [*(str(float(bound)) for bound in timed.bounds), "+Inf"]
            for value, in_bucket in timed.buckets.items():
                buckets = list(zip(bounds, accumulate(in_bucket), strict=True))
                histogram.add_metric([value], buckets, timed.sums[value])
            yield histogram


def upstreams_of(status: JSONObject) -> dict[str, JSONObject]:
    """Return the status of each upstream; empty when there is only one."""
    upstreams = status.get("upstreams")
    found = upstreams.items() if isinstance(upstreams, dict) else ()
    return {name: one for name, one in found if isinstance(one, dict)}


def upstream_metrics(upstreams: Mapping[str, JSONObject]) -> Iterator[Metric]:
    """Return the gauges of the upstreams."""
    ready = _gauge("dragoman_upstream_ready", "Whether a run would be sent there")
    rest = _gauge("dragoman_upstream_rest_seconds", "How long it is left alone still")
    running = _gauge("dragoman_upstream_runs", "Runs that are asked there")
    spent = _gauge("dragoman_upstream_spent_dollars", "What it has spent today, where it has a budget")
    for name, one in upstreams.items():
        ready.add_metric((name,), one.get("state") == "ready")
        rest.add_metric((name,), _number(one.get("rests_for_seconds")))
        running.add_metric((name,), _number(_inside(one, "runs", "running")))
        if "budget" in one:
            spent.add_metric((name,), _number(_inside(one, "budget", "spent_dollars")))
    yield from (ready, rest, running, spent)


def _gauge(name: str, what: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, what, labels=("upstream",))


def _inside(one: JSONObject, outer: str, inner: str) -> JSON:
    held = one.get(outer)
    return held.get(inner) if isinstance(held, dict) else None


def _number(value: JSON) -> float:
    return float(value) if isinstance(value, (int, float, str)) else 0.0


class _CurrentState(Collector):
    """Gauges of the current state."""

    def __init__(self, engine: Engine, operations: Operations) -> None:
        self._engine = engine
        self._operations = operations

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("dragoman_runs_running", "Runs that hold a slot", self._engine.running)
        yield GaugeMetricFamily("dragoman_runs_queued", "Runs that wait in the queue", self._engine.queued)
        yield GaugeMetricFamily("dragoman_ready", "Whether a run would work", self._operations.ready() is None)
        yield GaugeMetricFamily("dragoman_tasks", "Tasks of the gateway's event loop", len(asyncio.all_tasks()))
        status = self._operations.status()
        upstreams = upstreams_of(status)
        processes = GaugeMetricFamily("dragoman_processes", "Processes of the backend", labels=("state",))
        for state, count in _processes(status, *upstreams.values()).items():
            processes.add_metric((state,), count)
        yield processes
        boots = [_number(one["boots"]) for one in (status, *upstreams.values()) if "boots" in one]
        if boots:
            yield CounterMetricFamily("dragoman_process_boots", "Processes that were started", sum(boots))
        if upstreams:
            yield from upstream_metrics(upstreams)


class _CacheState(Collector):
    """What the response cache did, and its size."""

    def __init__(self, cache: RunCache) -> None:
        self._cache = cache

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "dragoman_cache_requests", "Requests by what the response cache did", labels=("result",)
        )
        for result, count in self._cache.outcomes.items():
            requests.add_metric((result,), count)
        yield requests
        yield GaugeMetricFamily("dragoman_cache_bytes", "Size of the response cache", self._cache.stored_bytes())


def _processes(*statuses: JSONObject) -> Mapping[str, int]:
    """Return the number of processes by state, over all backends."""
    found = collections.Counter[str]()
    for counted in (status.get("processes") for status in statuses):
        for state, count in counted.items() if isinstance(counted, dict) else ():
            if isinstance(count, int) and state != "all":  # Prometheus computes sums
                found[state] += count
    return found
