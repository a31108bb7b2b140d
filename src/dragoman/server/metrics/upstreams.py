"""How each of several upstreams does, for Prometheus."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric

from dragoman.messages import JSON, JSONObject


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
