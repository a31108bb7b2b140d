"""Metrics of limits and budgets."""

from collections.abc import Iterable, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dragoman.core.errors import GatewayError
from dragoman.limits.rules import NANODOLLARS, Rule, Unit
from dragoman.limits.table import RuleState
from dragoman.runs.metering import Meter

_LABELS = ("scope", "name", "model", "unit", "period")


class LimitMetrics(Collector):
    """Gauges of every limit and budget. Dollars are dollars, everything else counts.

    Args:
        meter: Knows them; None: there are none.
    """

    def __init__(self, meter: Meter | None) -> None:
        self._meter = meter
        self._states: Sequence[RuleState] = ()

    async def refresh(self) -> None:
        """Read what is used. Call it before the metrics are collected. If it cannot be read, the last values stay."""
        if self._meter is not None:
            try:
                await self._meter.flush(everything=True)
                self._states = await self._meter.states()
            except GatewayError:
                return

    def collect(self) -> Iterable[Metric]:
        """Return the gauges."""
        families = [
            GaugeMetricFamily("dragoman_limit", "What a limit or budget allows", labels=_LABELS),
            GaugeMetricFamily("dragoman_limit_used", "What is used or spent of it", labels=_LABELS),
            GaugeMetricFamily("dragoman_limit_reserved", "What is reserved by runs of it", labels=_LABELS),
        ]
        for state in self._states:
            for family, amount in zip(families, (state.rule.amount, state.used, state.held), strict=True):
                family.add_metric(_labels(state.rule), amount / _divisor(state.rule))
        return families


def _labels(rule: Rule) -> tuple[str, ...]:
    scope = rule.scope
    period = rule.period or ("minute" if rule.is_rate else "")
    return (scope.kind, scope.name, scope.model or "", rule.unit, period)


def _divisor(rule: Rule) -> int:
    return NANODOLLARS if rule.unit is Unit.DOLLARS else 1
