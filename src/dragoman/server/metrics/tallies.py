"""What is counted as requests end. It is made into the official client's metrics when someone asks for them.

Counting is a request's own expense, and that client's own counters take a lock and look up their labels each time.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


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
