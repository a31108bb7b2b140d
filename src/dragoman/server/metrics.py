"""What is counted as requests end. It is made into the official client's metrics when someone asks for them.

Counting is a request's own expense, and that client's own counters take a lock and look up their labels each time.

How each of several upstreams does, for Prometheus.

Figures for Prometheus, by its official client, in a registry of our own.
"""

import asyncio
import collections
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from dragoman.core.messages import JSON, JSONObject
from dragoman.runs.engine import Engine
from dragoman.runs.run import Run
from dragoman.server.context import NO_SUCH_METHOD, RequestContext
from dragoman.server.options import Operations


class Counts(Collector):
    """Events, by the values of their labels: `counts.of["POST", 200] += 1`.

    Args:
        name: The metric's name.
        about: What it counts.
        labels: The labels' names.

    Attributes:
        of: The counts.
    """

    def __init__(self, name: str, about: str, labels: Sequence[str]) -> None:
        self.of: defaultdict[tuple[object, ...], int] = defaultdict(int)
        self._about = (name, about, labels)

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        name, about, labels = self._about
        family = CounterMetricFamily(name, about, labels=labels)
        for values, count in self.of.items():
            family.add_metric([str(value) for value in values], count)
        yield family


class Durations(Collector):
    """How long things took, by the value of one label.

    Args:
        name: The metric's name.
        about: What takes so long.
        label: The label's name.
        bounds: The upper bounds of the buckets, in seconds, ascending.
    """

    def __init__(self, name: str, about: str, label: str, bounds: Sequence[float]) -> None:
        self._about = (name, about, (label,))
        self._bounds = bounds
        self._buckets: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(bounds) + 1))
        self._sums: defaultdict[str, float] = defaultdict(float)

    def add(self, value: str, seconds: float) -> None:
        """One more."""
        self._buckets[value][bisect_left(self._bounds, seconds)] += 1
        self._sums[value] += seconds

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        name, about, labels = self._about
        family = HistogramMetricFamily(name, about, labels=labels)
        bounds = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        for value, counts in self._buckets.items():
            buckets = list(zip(bounds, accumulate(counts), strict=True))
            family.add_metric([value], buckets, self._sums[value])
        yield family


def upstreams_of(status: JSONObject) -> dict[str, JSONObject]:
    """What the backend says of each upstream; nothing where there is one account."""
    upstreams = status.get("upstreams")
    found = upstreams.items() if isinstance(upstreams, dict) else ()
    return {name: one for name, one in found if isinstance(one, dict)}


def upstream_metrics(upstreams: Mapping[str, JSONObject]) -> Iterator[Metric]:
    """A gauge for each thing that is known of them."""
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


_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_KINDS = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_input_tokens": "cache_read",
    "cache_creation_input_tokens": "cache_write",
}


class Metrics:
    """Counts requests as they end, and answers `/metrics`."""

    def __init__(self, engine: Engine, operations: Operations) -> None:
        self._registry = registry = CollectorRegistry()
        registry.register(_Now(engine, operations))
        ProcessCollector(registry=registry)
        self._requests = Counts("dragoman_requests", "Requests answered", ("route", "method", "status"))
        self._errors = Counts(
            "dragoman_errors", "Requests refused, and answers that ended as an error", ("route", "code")
        )
        self._duration = Durations("dragoman_request_seconds", "Time to the end of the answer", "route", _SECONDS)
        self._first_token = Durations(
            "dragoman_first_token_seconds", "Time from asking Claude to the first token", "path", _SECONDS
        )
        self._runs = Counts("dragoman_runs", "Runs ended", ("model", "path", "status"))
        self._tokens = Counts("dragoman_tokens", "Tokens, as the API counts them", ("model", "kind"))
        for counted in (self._requests, self._errors, self._duration, self._first_token, self._runs, self._tokens):
            registry.register(counted)

    def observe(self, context: RequestContext, route: str | None) -> None:
        """Count a request that is over; `route` is none where no route took it."""
        # Paths and methods that nothing here takes are the client's words, and no labels.
        method = context.method if route and context.status != NO_SUCH_METHOD else "any"
        route = route or "unmatched"
        self._requests.of[route, method, context.status] += 1
        self._duration.add(route, context.seconds)
        if context.error:
            self._errors.of[route, context.error.code or "none"] += 1
        self.count(context.runs)

    def count(self, runs: Iterable[Run]) -> None:
        """Count runs that are over."""
        for run in runs:
            self._count(run)

    async def answer(self, request: Request) -> Response:  # noqa: ARG002 - the same for everyone
        """Answer `GET /metrics`."""
        return Response(generate_latest(self._registry), headers={"content-type": CONTENT_TYPE_LATEST})

    def _count(self, run: Run) -> None:
        # A model's id is the client's word until the API has taken it; only then is it a label.
        model = run.model if run.usage else "unknown"
        path = run.path or "none"
        self._runs.of[model, path, run.status] += 1
        if "first_token" in run.stages:
            self._first_token.add(path, run.stages["first_token"])
        usage: Mapping[str, object] = run.usage or {}
        for key, kind in _KINDS.items():
            if isinstance(count := usage.get(key), int):
                self._tokens.of[model, kind] += count


class _Now(Collector):
    """What is so at the moment of the question, rather than counted."""

    def __init__(self, engine: Engine, operations: Operations) -> None:
        self._engine = engine
        self._operations = operations

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("dragoman_runs_running", "Runs that have a place", self._engine.running)
        yield GaugeMetricFamily("dragoman_runs_queued", "Runs that wait for a place", self._engine.queued)
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


def _processes(*statuses: JSONObject) -> Mapping[str, int]:
    """By their state, of all backends together."""
    found = collections.Counter[str]()
    for counted in (status.get("processes") for status in statuses):
        for state, count in counted.items() if isinstance(counted, dict) else ():
            if isinstance(count, int) and state != "all":  # a sum is for Prometheus to make
                found[state] += count
    return found
