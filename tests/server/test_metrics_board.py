"""The Grafana board and the alert rules in `examples/`: each of their queries names metrics that the gateway has."""

import asyncio
import json
import re
import shutil
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from scripted import MESSAGES, Script, clean, ending, fails, in_sequence, opening, served, text

from dragoman.backends.base import RunRequest
from dragoman.core.errors import Overloaded
from dragoman.core.events import Event, MessageStart, Started
from dragoman.core.messages import JSONObject

_clean = pytest.fixture(autouse=True)(clean)

EXAMPLES = Path(__file__).parents[2] / "examples"
METRIC = re.compile(r"\bdragoman_\w+")
SUMMED = re.compile(r"\bby \(([^)]*)\)")


def queries() -> list[str]:
    """Return all queries of the board and the alerts."""
    board = json.loads((EXAMPLES / "grafana.json").read_text(encoding="utf-8"))
    rules = yaml.safe_load((EXAMPLES / "alerts.yaml").read_text(encoding="utf-8"))
    shown = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return shown + [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


def prompt(system: str) -> Script:
    """Answer as if the prompt was put into the cache, after a replay."""
    usage: JSONObject = {
        "input_tokens": 5,
        "cache_creation_input_tokens": 4000,
        "cache_read_input_tokens": 10,
        "output_tokens": 1,
    }
    message: JSONObject = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "usage": usage}

    async def script(_request: RunRequest) -> AsyncGenerator[Event, None]:
        yield Started("warm", {"process": 0.001, "replay": 0.001})
        yield MessageStart({"type": "message_start", "message": {**message, "model": "claude-sonnet-5-5"}})
        yield opening()[2]
        yield text(system)
        for event in ending():
            yield event

    return script


async def metrics_after_requests() -> str:
    """Return the metrics after a request that succeeds, one that misses the cache, and one that fails."""
    scripts = in_sequence(prompt("first"), prompt("second"), fails(Overloaded("busy")))
    async with served(scripts, retries=0) as gateway:
        for system in ("Be brief.", "Be long.", "Fail."):
            messages = [{"role": "system", "content": system}, *MESSAGES]
            await gateway.http.post("/v1/chat/completions", json={"model": "sonnet", "messages": messages})
        page = await gateway.metrics_text()
        while "dragoman_errors_total{" not in page:
            page = await gateway.metrics_text()
    return page


async def test_queries_name_metrics_that_exist() -> None:
    """After some requests, each metric of each query has a sample, with the labels that the query sums by."""
    families = [*text_string_to_metric_families(await metrics_after_requests())]
    labels = {sample.name: sample.labels.keys() for family in families for sample in family.samples}
    for query in queries():
        for name in METRIC.findall(query):
            assert name in labels, query
        summed = {label.strip() for found in SUMMED.findall(query) for label in found.split(",")}
        assert summed <= {label for name in METRIC.findall(query) for label in labels[name]}, query


async def test_naming_rules() -> None:
    """Names, units and types are those of Prometheus' conventions: https://prometheus.io/docs/practices/naming/."""
    page = await metrics_after_requests()
    for family in text_string_to_metric_families(page):
        assert re.fullmatch(r"(dragoman|process|python)_[a-z0-9_]+", family.name)
        assert family.documentation, family.name
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|percent|count|sum|bucket)$", family.name)
        names = {sample.name for sample in family.samples}
        if family.type == "counter":
            assert names <= {f"{family.name}_total", f"{family.name}_created"}
        elif family.type == "histogram":
            assert family.name.endswith(("_seconds", "_bytes")), family.name
            assert {sample.labels["le"] for sample in family.samples if "le" in sample.labels} >= {"+Inf"}
        else:
            assert not family.name.endswith("_total"), family.name
        series = [(sample.name, *sorted(sample.labels.items())) for sample in family.samples]
        assert len(series) == len(set(series)), family.name
        assert all(re.fullmatch(r"[a-z_]+", label) for sample in family.samples for label in sample.labels)


async def test_promtool() -> None:
    """Prometheus' own check finds nothing."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("there is no promtool here; Debian's package is `prometheus`")
    page = await metrics_after_requests()
    own = "".join(line for line in page.splitlines(keepends=True) if "dragoman_" in line)
    checks = ((["check", "metrics"], own), (["check", "rules", str(EXAMPLES / "alerts.yaml")], ""))
    for arguments, given in checks:
        process = await asyncio.create_subprocess_exec(program, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        out, err = await process.communicate(given.encode())
        assert process.returncode == 0, (out, err)
