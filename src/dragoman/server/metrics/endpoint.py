"""Figures for Prometheus, by its official client, in a registry of our own."""

import asyncio
import collections
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from dragoman.messages import JSONObject
from dragoman.runs import Engine, Run
from dragoman.server.exchange import NO_SUCH_METHOD, Exchange
from dragoman.server.metrics.tallies import Counts, Durations
from dragoman.server.metrics.upstreams import upstream_metrics, upstreams_of
from dragoman.server.options import Operations

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

    def observe(self, exchange: Exchange, route: str | None) -> None:
        """Count a request that is over; `route` is none where no route took it."""
        # Paths and methods that nothing here takes are the client's words, and no labels.
        method = exchange.method if route and exchange.status != NO_SUCH_METHOD else "any"
        route = route or "unmatched"
        self._requests.of[route, method, exchange.status] += 1
        self._duration.add(route, exchange.seconds)
        if exchange.error:
            self._errors.of[route, exchange.error.code or "none"] += 1
        self.count(exchange.runs)

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
