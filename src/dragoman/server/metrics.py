"""Metrics for Prometheus, in a registry of our own.

Requests are counted in plain dictionaries as they end, and turned into metric families only when Prometheus asks: the
official client's counters take a lock and look up their labels each time.
"""

import asyncio
import collections
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from dragoman.core.messages import JSON, JSONObject
from dragoman.core.process_identity import ProcessIdentity
from dragoman.runs.engine import Engine
from dragoman.runs.response_cache import RunCache
from dragoman.runs.run import Run
from dragoman.server.context import METHOD_NOT_ALLOWED, RequestContext
from dragoman.server.limit_metrics import LimitMetrics
from dragoman.server.options import Operations
from dragoman.server.peer_metrics import WorkerMetrics


class Counts(Collector):
    """A counter, by the values of its labels: `counts.values["POST", 200] += 1`.

    Args:
        name: The metric's name.
        description: What it counts.
        labels: The labels' names.

    Attributes:
        values: The counts, by label values.
    """

    def __init__(self, name: str, description: str, labels: Sequence[str]) -> None:
        self.values: defaultdict[tuple[object, ...], int] = defaultdict(int)
        self._family = (name, description, labels)

    def collect(self) -> Iterator[Metric]:
        """Return the metric family."""
        name, description, labels = self._family
        family = CounterMetricFamily(name, description, labels=labels)
        for labels_of_count, count in self.values.items():
            family.add_metric([str(value) for value in labels_of_count], count)
        yield family


class Durations(Collector):
    """A histogram of durations, by the value of one label.

    Args:
        name: The metric's name.
        description: What is measured.
        label: The label's name.
        bounds: The upper bounds of the buckets, in seconds, ascending.
    """

    def __init__(self, name: str, description: str, label: str, bounds: Sequence[float]) -> None:
        self._family = (name, description, (label,))
        self._bounds = bounds
        self._buckets: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(bounds) + 1))
        self._sums: defaultdict[str, float] = defaultdict(float)

    def add(self, value: str, seconds: float) -> None:
        """Add one duration, in seconds."""
        self._buckets[value][bisect_left(self._bounds, seconds)] += 1
        self._sums[value] += seconds

    def collect(self) -> Iterator[Metric]:
        """Return the metric family."""
        name, description, labels = self._family
        family = HistogramMetricFamily(name, description, labels=labels)
        bounds = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        for value, counts in self._buckets.items():
            buckets = list(zip(bounds, accumulate(counts), strict=True))
            family.add_metric([value], buckets, self._sums[value])
        yield family


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


_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_TOKEN_KINDS = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_input_tokens": "cache_read",
    "cache_creation_input_tokens": "cache_write",
}


class Metrics:
    """Counts requests as they end, and serves `/metrics`."""

    def __init__(self, engine: Engine, operations: Operations) -> None:
        self._registry = registry = CollectorRegistry()
        self._limits = LimitMetrics(engine.meter)
        registry.register(self._limits)
        self._peers = operations.peers
        self._process = str(ProcessIdentity.current())
        if self._peers is not None:
            self._peers.answer("metrics", self._answer_metrics)
        registry.register(_CurrentState(engine, operations))
        ProcessCollector(registry=registry)
        self._requests = Counts("dragoman_requests", "Requests answered", ("route", "method", "status"))
        self._errors = Counts(
            "dragoman_errors", "Requests refused, and answers that ended as an error", ("route", "code")
        )
        self._duration = Durations("dragoman_request_seconds", "Time to the end of the answer", "route", _BUCKETS)
        self._first_token = Durations(
            "dragoman_first_token_seconds", "Time from asking Claude to the first token", "path", _BUCKETS
        )
        self._runs = Counts("dragoman_runs", "Runs ended", ("model", "path", "status"))
        self._tokens = Counts("dragoman_tokens", "Tokens, as the API counts them", ("model", "kind"))
        for counted in (self._requests, self._errors, self._duration, self._first_token, self._runs, self._tokens):
            registry.register(counted)

    def observe(self, context: RequestContext, route: str | None) -> None:
        """Count a request that is over; `route` is the path of its route, if one matched."""
        # Unknown paths and methods are chosen by the client: as labels they could be without number.
        method = context.method if route and context.status != METHOD_NOT_ALLOWED else "any"
        route = route or "unmatched"
        self._requests.values[route, method, context.status] += 1
        self._duration.add(route, context.seconds)
        if context.error:
            self._errors.values[route, context.error.code or "none"] += 1
        self.count_runs(context.runs)

    def count_runs(self, runs: Iterable[Run]) -> None:
        """Count runs that have ended."""
        for run in runs:
            if run.source_id is None:  # the others repeat one that is counted
                self._count(run)

    def add_cache(self, cache: RunCache) -> None:
        """Show what the response cache does, and count the runs behind it."""
        cache.count_runs = self.count_runs
        self._registry.register(_CacheState(cache))

    async def respond(self, request: Request) -> Response:  # noqa: ARG002 - the same for all
        """Return the metrics in the text format: those of all workers."""
        await self._limits.refresh()
        text = generate_latest(self._registry)
        if self._peers is not None:
            others = msgspec.convert(await self._peers.ask("metrics"), dict[int, WorkerMetrics])
            others[self._peers.index] = WorkerMetrics(self._process, text.decode())
            text = await asyncio.to_thread(self._peers.history.merge, others)
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})

    async def _answer_metrics(self, _argument: str) -> JSON:
        return [self._process, generate_latest(self._registry).decode()]

    def _count(self, run: Run) -> None:
        # A model id is chosen by the client until the API has accepted it. Only then is it a label.
        model = run.model if run.usage else "unknown"
        path = run.path or "none"
        self._runs.values[model, path, run.status] += 1
        if "first_token" in run.stages:
            self._first_token.add(path, run.stages["first_token"])
        usage: Mapping[str, object] = run.usage or {}
        for key, kind in _TOKEN_KINDS.items():
            if isinstance(count := usage.get(key), int):
                self._tokens.values[model, kind] += count


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
