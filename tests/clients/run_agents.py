"""Try the newest versions of coding agents, and write the compatibility table of `docs/clients.md`."""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import claude_scenarios
import click
import codex_scenarios
from agent_session import AgentSession, ScenarioError, open_session
from agent_versions import VersionError, install, newest_versions

_REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.append(str(_REPOSITORY))  # this program runs as a file

from tools.docs.clients import clients_page  # noqa: E402 - needs the path above
from tools.docs.compatibility import RESULTS, Result, read_results, write_results  # noqa: E402 - the same

VERSIONS = 3
"""The newest version, and two before it."""
GATEWAY_OPTIONS = ("--model-aliases", f"{codex_scenarios.CATALOG_MODEL}=sonnet")
"""Options of the gateway that the scenarios need."""
_MAX_REASON = 160
_REFUSED = 400

Gateway = Callable[[Path, str], AbstractContextManager[str]]
"""Runs a gateway in a home directory, with a backend, and yields its URL."""


@dataclass(frozen=True, slots=True)
class _Agent:
    """A client whose versions are tried.

    Attributes:
        connect_name: Its name for `dragoman connect`.
        title: Its name in the table.
        package: Its package in the npm registry.
        program: The name of its executable.
        scenarios: What is tried.
        environment: Its own variables.
    """

    connect_name: str
    title: str
    package: str
    program: str
    scenarios: Mapping[str, Callable[[AgentSession], None]]
    environment: Mapping[str, str]


AGENTS = {
    "codex_agent": _Agent("codex", "Codex", "@openai/codex", "codex", codex_scenarios.SCENARIOS, {}),
    "claude_agent": _Agent(
        "claude-code",
        "Claude Code",
        "@anthropic-ai/claude-code",
        "claude",
        claude_scenarios.SCENARIOS,
        claude_scenarios.ENVIRONMENT,
    ),
}
"""The clients, by the name of their runner."""


class AgentRuns:
    """Runs of the scenarios with several versions.

    Args:
        installed: The folder in which clients are installed.
        environment: The environment, with access to the package registry and no accounts.
        gateway: Runs a gateway.
        versions: How many versions to try.
        scenarios: The scenarios to run, by their names in the table. Empty: all.
    """

    def __init__(
        self,
        installed: Path,
        environment: Mapping[str, str],
        gateway: Gateway,
        versions: int,
        scenarios: Sequence[str],
    ) -> None:
        self._installed = installed
        self._environment = environment
        self._gateway = gateway
        self._versions = versions
        self._selected = scenarios

    def run(self, runner: str, backends: Sequence[str]) -> list[str]:
        """Try the versions of one client, and return what failed. Write the table if nothing was left out."""
        agent = AGENTS[runner]
        try:
            versions = newest_versions(agent.package, self._versions, self._environment)
        except VersionError as error:
            results = [_not_installed(agent, "newest", str(error))]
        else:
            results = [result for version in versions for result in self._version(agent, version, backends)]
        if not self._selected and self._versions >= VERSIONS:
            _write(results)
        return [
            f"{scenario} of {result.client} {result.version} on {result.backend}: {reason}"
            for result in results
            for scenario, reason in result.failed.items()
        ] + [f"{result.client} {result.version}: {result.missing}" for result in results if result.missing]

    def _version(self, agent: _Agent, version: str, backends: Sequence[str]) -> list[Result]:
        folder = self._installed / "npm" / f"{agent.program}-{version}"
        try:
            install(agent.package, version, folder, self._environment)
        except VersionError as error:
            return [_not_installed(agent, version, str(error))]
        program = folder / "node_modules" / ".bin" / agent.program
        return [self._backend(agent, version, program, backend) for backend in backends]

    def _backend(self, agent: _Agent, version: str, program: Path, backend: str) -> Result:
        failed: dict[str, str] = {}
        tried = [name for name in agent.scenarios if not self._selected or name in self._selected]
        with TemporaryDirectory(prefix="dragoman-agents-") as home, self._gateway(Path(home), backend) as address:
            for name in tried:
                logged = _logged_requests(Path(home))
                reason = self._scenario(agent, name, program, address)
                reason = reason or _refusals(_logged_requests(Path(home))[len(logged) :])
                click.echo(f"{'FAIL' if reason else 'PASS'} {agent.title} {version} on {backend}: {name} {reason}")
                if reason:
                    failed[name] = reason
        return Result(agent.title, version, _today(), backend, tried, failed)

    def _scenario(self, agent: _Agent, name: str, program: Path, address: str) -> str:
        """Run one scenario in a new home directory. Return why it failed, else an empty text.

        The directory is not a temporary one of the system: Codex disables commands of its own there.
        """
        homes = self._installed / "homes"
        homes.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=homes, ignore_cleanup_errors=True) as folder:
            environment = {**self._environment, **agent.environment}
            session = open_session(agent.connect_name, program, Path(folder), address, environment)
            try:
                agent.scenarios[name](session)
            except ScenarioError as error:
                return _one_line(str(error).replace(folder, "~").replace(address, "ADDRESS"))
            return ""


def _logged_requests(home: Path) -> list[dict[str, Any]]:
    """Return the records of the requests in a gateway's log."""
    records = map(json.loads, (home / "log").read_text(encoding="utf-8").splitlines())
    return [record for record in records if record.get("event") == "http.request"]


def _refusals(requests: Sequence[dict[str, Any]]) -> str:
    """Return which requests failed. A client may hide it: it sends another request, and shows that response."""
    failed = {f"{request['status']} for {request['path']}" for request in requests if request["status"] >= _REFUSED}
    return f"the gateway responded {', '.join(sorted(failed))}" if failed else ""


def _not_installed(agent: _Agent, version: str, reason: str) -> Result:
    return Result(agent.title, version, _today(), "", [], {}, missing=reason)


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _one_line(text: str) -> str:
    line = re.sub(r"[^\x20-\x7e]+", " ", text).strip()
    return line if len(line) <= _MAX_REASON else f"{line[:_MAX_REASON]}..."


def _write(results: Sequence[Result]) -> None:
    """Replace the rows of the same client in the table, and write the page."""
    path = _REPOSITORY / RESULTS
    clients = {result.client for result in results}
    ran = {(result.version, result.backend) for result in results}
    versions = {result.version for result in results}
    kept = [
        result
        for result in read_results(path)
        if result.client not in clients or (result.version in versions and (result.version, result.backend) not in ran)
    ]
    write_results(path, [*kept, *results])
    (_REPOSITORY / "docs" / "clients.md").write_text(clients_page(), encoding="utf-8")
