"""The metrics of several workers as those of one gateway, also of workers that have ended."""

import fcntl
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from pathlib import Path
from typing import TypeAlias

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

_COMBINED: Mapping[str, Callable[[float, float], float]] = {
    "dragoman_ready": min,
    "dragoman_upstream_ready": min,
    "dragoman_upstream_rest_seconds": max,
    "process_start_time_seconds": min,
    "process_max_fds": min,
    "dragoman_limit": max,
    "dragoman_limit_used": max,
    "dragoman_limit_reserved": max,
    "dragoman_upstream_spent_dollars": max,
}
"""How a gauge is combined, if it is not a sum."""
_COUNTED = frozenset({"counter", "histogram"})
"""The types of metrics that must not fall when a worker ends."""

_Series: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]


def merge_metrics(texts: Iterable[str], ended: Iterable[str] = ()) -> bytes:
    """Return metrics in the text format, with the sum of each value over all texts.

    Args:
        texts: The metrics of each worker, in the text format.
        ended: Those of workers that have ended. Only their counts remain.
    """
    merged = _Merged()
    for text in texts:
        merged.add(text)
    for text in ended:
        merged.add(text, only=_COUNTED)
    registry = CollectorRegistry()
    registry.register(merged)
    return generate_latest(registry)


class _Merged(Collector):
    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}
        self._values: dict[str, dict[_Series, list[float]]] = {}

    def add(self, text: str, only: frozenset[str] | None = None) -> None:
        for family in text_string_to_metric_families(text):
            if only is None or family.type in only:
                self._families.setdefault(family.name, family)
                values = self._values.setdefault(family.name, {})
                for sample in family.samples:
                    values.setdefault((sample.name, tuple(sample.labels.items())), []).append(sample.value)

    def collect(self) -> Iterator[Metric]:
        for name, family in self._families.items():
            merged = Metric(name, family.documentation, family.type)
            combine = _COMBINED.get(name)
            for (sample, labels), found in self._values[name].items():
                merged.add_sample(sample, dict(labels), reduce(combine, found) if combine else sum(found))
            yield merged


class WorkerMetrics(msgspec.Struct, array_like=True, frozen=True):
    """The metrics of one worker.

    Attributes:
        process: The process, which a later one of the same number differs from.
        text: The metrics, in the text format.
    """

    process: str
    text: str


class _Remembered(msgspec.Struct, frozen=True):
    """What was last known of one number: its worker, and the counts of all workers before."""

    last: WorkerMetrics
    before: str = ""


class MetricsHistory:
    """What `/metrics` showed of each worker last. So the counts of one that ends do not fall by what was shown.

    Any worker may answer a request for metrics, so it is in files that all of them share.

    Args:
        directory: Where the files are.
        count: The number of workers.
    """

    def __init__(self, directory: Path, count: int) -> None:
        self._directory = directory
        self._count = count

    def merge(self, current: Mapping[int, WorkerMetrics]) -> bytes:
        """Return the sum of the metrics of all workers, and remember them.

        Args:
            current: The metrics of the workers that run, by number.

        Raises:
            OSError: The files cannot be used.
        """
        with (self._directory / "metrics.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            ended: list[str] = []
            for index in range(self._count):
                ended += self._remember(index, current.get(index))
        return merge_metrics([one.text for one in current.values()], ended)

    def _remember(self, index: int, now: WorkerMetrics | None) -> list[str]:
        """Return the counts of the workers of a number that have ended, and remember the one that runs."""
        path = self._directory / f"metrics-{index}.json"
        known = msgspec.json.decode(path.read_bytes(), type=_Remembered) if path.exists() else None
        ended = [known.before] if known and known.before else []
        if known and (now is None or now.process != known.last.process):
            ended.append(known.last.text)
        if now is not None:
            before = merge_metrics((), ended).decode() if ended else ""
            path.write_bytes(msgspec.json.encode(_Remembered(now, before)))
        return ended
