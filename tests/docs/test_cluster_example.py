"""`examples/cluster/`: the compose file and the chart name what the program has.

Helm and compose are not installed here. The chart uses values, `quote` and `add` only, which a few lines can render.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from dragoman.config.loading import load, variables
from dragoman.config.settings import Settings
from dragoman.server.routes import PUBLIC_PATHS

EXAMPLE = Path(__file__).parents[2] / "examples" / "cluster"
VARIABLES = {variable: name for name in Settings.model_fields for variable in variables(name)}
_ACTION = re.compile(r"\{\{ (.+?) \}\}")


def render(text: str, values: Mapping[str, object]) -> str:
    """Return a template of the chart with its values."""

    def value(words: str) -> str:
        name, _, function = words.partition(" | ")
        found = "release" if name == ".Release.Name" else str(values[name.removeprefix(".Values.")])
        return f'"{found}"' if function == "quote" else found

    def action(found: re.Match[str]) -> str:
        function, *operands = found[1].split()
        if function != "add":
            return value(found[1])
        return str(sum(int(one) if one.isdigit() else int(value(one)) for one in operands))

    return _ACTION.sub(action, text)


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    """Return the resources of the chart, by kind and name."""
    values = yaml.safe_load((EXAMPLE / "chart" / "values.yaml").read_text())
    found = {}
    for template in sorted((EXAMPLE / "chart" / "templates").iterdir()):
        for resource in yaml.safe_load_all(render(template.read_text(), values)):
            found[f"{resource['kind']}/{resource['metadata']['name']}"] = resource
    return found


def test_the_chart_has_probes_drain_scaling_and_a_policy(resources: dict[str, Any]) -> None:
    """A pod has the time that the gateway takes to stop, and only nodes reach each other."""
    assert set(resources) == {
        "Service/release",
        "Service/release-nodes",
        "StatefulSet/release",
        "PodDisruptionBudget/release",
        "HorizontalPodAutoscaler/release",
        "NetworkPolicy/release",
        "Ingress/release",
    }
    pod = resources["StatefulSet/release"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    settings = load(
        {
            VARIABLES[name]: value
            for name, value in environment.items()
            if value and name not in {"POD_IP", "DRAGOMAN_NODE_ADDRESS"}
        },
        env_file=None,
    )
    assert pod["terminationGracePeriodSeconds"] > settings.shutdown_delay + settings.shutdown_grace
    assert environment["DRAGOMAN_NODE_ADDRESS"] == "$(POD_IP):8901"
    assert set(environment) - {"POD_IP"} <= set(VARIABLES)
    probes = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert probes == {"/health", "/health/ready"} <= PUBLIC_PATHS
    # A node that stops must be known to be unready before it takes no requests any more.
    assert container["readinessProbe"]["periodSeconds"] < settings.shutdown_delay
    scaled = resources["HorizontalPodAutoscaler/release"]["spec"]
    assert scaled["scaleTargetRef"]["name"] == "release"
    assert scaled["metrics"][0]["pods"]["metric"]["name"] == "dragoman_runs_running"
    rules = {rule["ports"][0]["port"]: rule["from"] for rule in resources["NetworkPolicy/release"]["spec"]["ingress"]}
    assert rules["nodes"] == [{"podSelector": {"matchLabels": {"app": "release"}}}]


def test_the_compose_file_names_settings_and_secrets_that_exist() -> None:
    """Each node has an address and a state of its own, and nginx knows them all."""
    composed = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())
    nodes = {name: one for name, one in composed["services"].items() if name.startswith("node")}
    addresses = {name: one["environment"]["DRAGOMAN_NODE_ADDRESS"] for name, one in nodes.items()}
    assert addresses == {name: f"{name}:8901" for name in nodes}
    assert len({one["volumes"][0] for one in nodes.values()}) == len(nodes)
    assert set(re.findall(r"server (node\d):8787", (EXAMPLE / "nginx.conf").read_text())) == set(nodes)
    script = (EXAMPLE / "secrets.sh").read_text()
    for node in nodes.values():
        assert set(node["environment"]) <= set(VARIABLES)
        assert all(name in script for name in node["secrets"])
        grace = int(node["environment"]["DRAGOMAN_SHUTDOWN_GRACE"].rstrip("s"))
        assert int(node["stop_grace_period"].rstrip("s")) > grace + 2
