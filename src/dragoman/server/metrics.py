"""Counts requests as they end.

They are counted in plain dictionaries, and turned into metric families only when Prometheus asks (`metrics_page`): the
official client's counters take a lock and look up their labels each time.
"""

import asyncio
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from dragoman.core.messages import JSON, JSONObject
from dragoman.core.process_identity import ProcessIdentity
from dragoman.core.usage_counts import counts_of
from dragoman.limits.rules import NANODOLLARS
from dragoman.runs.engine import Engine
from dragoman.runs.prompt_parts import REASONS
from dragoman.runs.response_cache import RunCache
from dragoman.runs.run import Run
from dragoman.runs.run_usage import price_of_run
from dragoman.server.context import METHOD_NOT_ALLOWED, RequestContext
from dragoman.server.options import Operations

if TYPE_CHECKING:
    from dragoman.server.metrics_page import MetricsPage


class Counts:
    """A counter, by the values of its labels: `counts.values["POST", 200] += 1`.

    Args:
        name: The metric's name.
        description: What it counts.
        labels: The labels' names.
        divisor: By what a count is divided when it is shown.

    Attributes:
        family: The name, the description and the labels' names.
        divisor: See the argument.
        values: The counts, by label values.
    """

    def __init__(self, name: str, description: str, labels: Sequence[str], divisor: int = 1) -> None:
        self.divisor = divisor
        self.values: defaultdict[tuple[object, ...], int] = defaultdict(int)
        self.family = (name, description, labels)


class Durations:
    """A histogram of durations, by the value of one label.

    Args:
        name: The metric's name.
        description: What is measured.
        label: The label's name.
        bounds: The upper bounds of the buckets, in seconds, ascending.

    Attributes:
        family: The name, the description and the label's name.
        bounds: The upper bounds.
        buckets: How many durations are in each bucket, by label value. The last bucket has no bound.
        sums: The sums of the durations, by label value.
    """

    def __init__(self, name: str, description: str, label: str, bounds: Sequence[float]) -> None:
        self.family = (name, description, (label,))
        self.bounds = bounds
        self.buckets: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(bounds) + 1))
        self.sums: defaultdict[str, float] = defaultdict(float)

    def add(self, value: str, seconds: float) -> None:
        """Add one duration, in seconds."""
        self.buckets[value][bisect_left(self.bounds, seconds)] += 1
        self.sums[value] += seconds


_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_TOKEN_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 1)


class Metrics:
    """Counts requests as they end, and serves `/metrics`."""

    def __init__(self, engine: Engine, operations: Operations) -> None:
        self._engine = engine
        self._operations = operations
        self._peers = operations.peers
        self._process = str(ProcessIdentity.current())
        if self._peers is not None and self._peers.count > 1:
            self._peers.answer("metrics", self._answer_metrics)
        self._requests = Counts("dragoman_requests", "Requests answered", ("route", "method", "status"))
        self._errors = Counts(
            "dragoman_errors", "Requests refused, and answers that ended as an error", ("route", "code")
        )
        self._duration = Durations("dragoman_request_seconds", "Time to the end of the answer", "route", _BUCKETS)
        self._first_token = Durations(
            "dragoman_first_token_seconds", "Time from asking Claude to the first token", "path", _BUCKETS
        )
        self._stages = {
            "queue": Durations("dragoman_queue_seconds", "Time that runs waited for a slot", "path", _BUCKETS),
            "process": Durations("dragoman_process_seconds", "Time to take or start a process", "path", _BUCKETS),
            "replay": Durations("dragoman_replay_seconds", "Time to replay a conversation", "path", _BUCKETS),
            "first_token": self._first_token,
        }
        self._output_token = Durations(
            "dragoman_output_token_seconds", "Time for each token after the first", "path", _TOKEN_BUCKETS
        )
        self._cost = Counts("dragoman_cost_dollars", "Cost of runs at list prices", ("model",), NANODOLLARS)
        self._thinking = Counts(
            "dragoman_thinking_tokens", "Output tokens that were thinking, as the API counts them", ("model",)
        )
        self._cache_misses = Counts(
            "dragoman_cache_misses", "Runs that read less from Claude's cache than they could have", ("reason",)
        )
        self._cache_misses.values |= {(reason,): 0 for reason in REASONS}  # a rate needs a first value
        self._runs = Counts("dragoman_runs", "Runs ended", ("model", "path", "status"))
        self._tokens = Counts("dragoman_tokens", "Tokens, as the API counts them", ("model", "kind"))
        self._cache: RunCache | None = None
        self._page: MetricsPage | None = None

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
        self._cache = cache

    async def respond(self, request: Request) -> Response:  # noqa: ARG002 - the same for all
        """Return the metrics in the text format: those of all workers."""
        page = self._current_page()
        await page.refresh()
        self._engine.deferred.flush()
        text = page.text()
        if self._peers is not None and self._peers.count > 1:
            from dragoman.server.peer_metrics import WorkerMetrics  # noqa: PLC0415 - as `_current_page`

            others = msgspec.convert(await self._peers.ask("metrics"), dict[int, WorkerMetrics])
            others[self._peers.index] = WorkerMetrics(self._process, text.decode())
            text = await asyncio.to_thread(self._peers.history.merge, others)
        return Response(text, headers={"content-type": page.content_type})

    async def _answer_metrics(self, _argument: str) -> JSON:
        self._engine.deferred.flush()
        return [self._process, self._current_page().text().decode()]

    def _current_page(self) -> "MetricsPage":
        if self._page is None:
            # Imported when metrics are asked for the first time: the library is a tenth of the time of a start.
            from dragoman.server.metrics_page import MetricsPage  # noqa: PLC0415

            money = (self._cost, self._thinking, self._cache_misses)
            counts = (self._requests, self._errors, self._runs, self._tokens, *money)
            durations = (self._duration, *self._stages.values(), self._output_token)
            self._page = MetricsPage(self._engine, self._operations, counts, durations, self._cache)
        return self._page

    def _count(self, run: Run) -> None:
        # A model id is chosen by the client until the API has accepted it. Only then is it a label.
        model = run.model if run.usage else "unknown"
        path = run.path or "none"
        self._runs.values[model, path, run.status] += 1
        for stage, durations in self._stages.items():
            if stage in run.stages:
                durations.add(path, run.stages[stage])
        use = self._engine.cache_misses.use_of(run)
        if use is not None and use.reason is not None:
            self._cache_misses.values[use.reason,] += 1
        if run.usage:
            self._count_usage(run, model, path)

    def _count_usage(self, run: Run, model: str, path: str) -> None:
        counts = counts_of(cast("JSONObject", run.usage))
        self._cost.values[model,] += price_of_run(run)
        if counts.output_tokens > 1 and (writing := _writing_seconds(run)) is not None:
            self._output_token.add(path, writing / (counts.output_tokens - 1))
        if counts.output_tokens_details is not None:
            self._thinking.values[model,] += counts.thinking
        tokens = self._tokens.values
        tokens[model, "input"] += counts.input_tokens
        tokens[model, "output"] += counts.output_tokens
        tokens[model, "cache_read"] += counts.cache_read_input_tokens
        tokens[model, "cache_write"] += counts.cache_creation_input_tokens


def _writing_seconds(run: Run) -> float | None:
    """Return the seconds from the first token to the end of a run; None if it has not succeeded."""
    stages = run.stages
    if run.status != "succeeded" or "first_token" not in stages:
        return None
    before = stages.get("queue", 0.0) + stages.get("process", 0.0) + stages.get("replay", 0.0) + stages["first_token"]
    return max(0.0, stages["total"] - before)
