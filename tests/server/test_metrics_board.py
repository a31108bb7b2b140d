"""The Grafana board and the alert rules in `examples/`: each of their queries names metrics that the gateway has."""

import json
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from scripted import MESSAGES, clean, fails, in_sequence, replies, served

from dragoman.core.errors import Overloaded

_clean = pytest.fixture(autouse=True)(clean)

EXAMPLES = Path(__file__).parents[2] / "examples"
METRIC = re.compile(r"\bdragoman_\w+")


def queries() -> list[str]:
    """Return all queries of the board and the alerts."""
    board = json.loads((EXAMPLES / "grafana.json").read_text(encoding="utf-8"))
    rules = yaml.safe_load((EXAMPLES / "alerts.yaml").read_text(encoding="utf-8"))
    shown = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return shown + [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


async def test_queries_name_metrics_that_exist() -> None:
    """After one request that succeeds and one that fails, each metric of each query has a sample."""
    async with served(in_sequence(replies("Hello"), fails(Overloaded("busy"))), retries=0) as gateway:
        for _ in range(2):
            await gateway.http.post("/v1/chat/completions", json={"model": "sonnet", "messages": MESSAGES})
        text = await gateway.metrics_text()
        while "dragoman_errors_total{" not in text:
            text = await gateway.metrics_text()
    samples = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
    assert {name for query in queries() for name in METRIC.findall(query)} <= samples
