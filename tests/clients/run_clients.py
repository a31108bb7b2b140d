"""Run the checks with real clients against a simulated gateway: `make clients`.

The checks are not part of this repository. They are in the folder that DRAGOMAN_CLIENTS names, by default in
`../shared/clients`. Clients are installed in `.clients/`. The gateway is `dragoman serve --simulate`. Each installed
client also sends a request with the configuration that `dragoman connect` prints for it.

The runners `codex_agent` and `claude_agent` are part of this repository. They try the newest versions of Codex and
Claude Code, and write the compatibility table of `docs/clients.md`.
"""

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from connect_clients import PACKAGES, Clients
from run_agents import AGENTS, GATEWAY_OPTIONS, VERSIONS, AgentRuns

_REPOSITORY = Path(__file__).resolve().parents[2]
_INSTALLED = _REPOSITORY / ".clients"
_RUNNERS = {
    "openai_chat": "openai",
    "openai_misc": "openai",
    "openai_responses": "openai",
    "open_responses": "openai",
    "schema_check": "openai",
    "langchain_basic": "langchain",
    "instructor_sdk": "instructor",
    "openai_node_js": "openai-node",
    "llm_cli": "llm",
    "codex_cli": "codex",
    "opencode_cli": "opencode",
    "aider_cli": "aider",
    "anthropic_sdk": "anthropic",
}
"""The runners, and the client that each needs."""
_SLOW = frozenset({"codex_cli", "opencode_cli", "aider_cli"})
"""Runners whose client takes over a minute to install or to run."""
_MODELS = ("sonnet", "claude-opus-5", "claude-sonnet-4-5")
_ONE_MODEL = "sonnet"
_MODELS_BY_RUNNER = {"openai_chat": _MODELS, "anthropic_sdk": ("claude-opus-5", "claude-sonnet-4-5")}
"""Runners with other models. Not every model accepts the requests of the `anthropic_sdk` checks."""
_BACKENDS = ("runtime", "api")
_NETWORK = (
    "PATH",
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "PIP_INDEX_URL",
    "UV_INDEX_URL",
)


@click.command()
@click.option("--model", "models", multiple=True, help="A model. [default: one of each family, or the newest]")
@click.option(
    "--runner",
    "runners",
    multiple=True,
    type=click.Choice([*_RUNNERS, *AGENTS]),
    help="A runner. [default: all]",
)
@click.option("--backend", "backends", multiple=True, help="A backend of the gateway. [default: each]")
@click.option("--quick", is_flag=True, help="Leave out runners that take over a minute.")
@click.option("--versions", default=VERSIONS, show_default=True, help="Versions of Codex and Claude Code to try.")
@click.argument("checks", nargs=-1)
def main(
    models: Sequence[str],
    runners: Sequence[str],
    backends: Sequence[str],
    versions: int,
    checks: Sequence[str],
    *,
    quick: bool,
) -> None:
    """Run the given CHECKS, by default all.

    The checks of `codex_agent` and `claude_agent` are the scenarios that the compatibility table names. The table is
    written only if all of them run, with all versions.
    """
    folder = Path(os.environ.get("DRAGOMAN_CLIENTS") or _REPOSITORY.parent / "shared" / "clients").resolve()
    selected = runners or [*(runner for runner in _RUNNERS if not (quick and runner in _SLOW)), *AGENTS]
    failed: list[str] = []
    if not (folder / "run.sh").is_file():
        click.echo(f"SKIPPED: no client checks in {folder}. Name their folder in DRAGOMAN_CLIENTS.")
        if quick:
            return
    elif outside := [runner for runner in selected if runner in _RUNNERS]:
        failed += _run_checks(folder, outside, models, backends or _BACKENDS, checks, all_=not (quick or runners))
    agents = AgentRuns(_INSTALLED, _environment(), _agents_gateway, versions, checks)
    for runner in (runner for runner in selected if runner in AGENTS and not quick):
        failed += agents.run(runner, backends or _BACKENDS)
    click.echo(f"Failed: {', '.join(failed)}" if failed else "All client checks passed.")
    sys.exit(bool(failed))


def _run_checks(
    folder: Path,
    runners: Sequence[str],
    models: Sequence[str],
    backends: Sequence[str],
    checks: Sequence[str],
    *,
    all_: bool,
) -> list[str]:
    """Run the checks of the folder, and the printed configuration of each installed client. Return what failed."""
    for client in {_RUNNERS[runner] for runner in runners}:
        _install(folder, client)
    if all_:
        for client, package in PACKAGES.items():
            _install_package(client, package)
    failed: list[str] = []
    for backend in backends:
        with TemporaryDirectory(prefix="dragoman-clients-") as home, _gateway(Path(home), backend) as address:
            failed += [
                f"{runner} with {model} on {backend}"
                for runner in runners
                for model in models or _MODELS_BY_RUNNER.get(runner, (_ONE_MODEL,))
                if not _passes(folder, runner, checks, BASE_URL=f"{address}/v1", MODEL=model, HOME=home)
            ]
            clients = Clients(_INSTALLED, address, _environment())
            failed += [
                f"the configuration of `connect {name}`" for name in clients.installed if not _connects(clients, name)
            ]
    return failed


def _agents_gateway(home: Path, backend: str) -> AbstractContextManager[str]:
    return _gateway(home, backend, *GATEWAY_OPTIONS)


def _connects(clients: Clients, name: str) -> bool:
    click.echo(f"{name}, with the configuration of `dragoman connect {name}`")
    passed = clients.passes(name)
    click.echo(f"{'PASS' if passed else 'FAIL'} connect")
    return passed


def _install(folder: Path, client: str) -> None:
    if (_INSTALLED / "venvs" / client).is_dir() or (_INSTALLED / "npm" / client).is_dir():
        return
    click.echo(f"Installing {client} in {_INSTALLED}...")
    _INSTALLED.mkdir(exist_ok=True)
    if not (_INSTALLED / "runners").exists():
        (_INSTALLED / "runners").symlink_to(folder)
    env = {**_environment(), "CLIENTS_ROOT": str(_INSTALLED), "UV": _uv()}
    _call(["bash", str(folder / "install.sh"), client], env)


def _install_package(client: str, package: str) -> None:
    """Install a client from the npm registry, which no runner of the checks installs."""
    folder = _INSTALLED / "npm" / client
    if (folder / "node_modules").is_dir():
        return
    click.echo(f"Installing {package} in {folder}...")
    folder.mkdir(parents=True, exist_ok=True)
    _call(
        ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(folder), package],
        _environment(),
    )


def _uv() -> str:
    """Return the installer `uv` that the checks need. Install it from the package index if the machine has none."""
    if found := shutil.which("uv"):
        return found
    tools = _INSTALLED / "tools"
    if not (tools / "bin" / "uv").is_file():
        venv.create(tools, with_pip=True)
        _call([str(tools / "bin" / "python"), "-m", "pip", "install", "--quiet", "uv"], _environment())
    return str(tools / "bin" / "uv")


def _call(command: Sequence[str], env: dict[str, str]) -> None:
    subprocess.run(command, env=env, check=True)  # noqa: S603 - commands of this file and of the checks


def _environment(**added: str) -> dict[str, str]:
    """Return an environment without accounts and settings, with access to the package indexes."""
    return {**{name: os.environ[name] for name in _NETWORK if name in os.environ}, "LANG": "C.UTF-8", **added}


@contextmanager
def _gateway(home: Path, backend: str, *options: str) -> Iterator[str]:
    command = [str(Path(sys.executable).with_name("dragoman")), "serve", "--simulate", "-p", "0", "-m"]
    command += ["--backend", backend, "--log-file", "log", *options]
    process = subprocess.Popen(  # noqa: S603 - our own command
        command, stdout=subprocess.PIPE, text=True, cwd=home, env=_environment(HOME=str(home))
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate()


def _passes(folder: Path, runner: str, checks: Sequence[str], **variables: str) -> bool:
    click.echo(f"{runner} with {variables['MODEL']}")
    env = _environment(API_KEY="none", CLIENTS_ROOT=str(_INSTALLED), PYTHONDONTWRITEBYTECODE="1", **variables)
    return subprocess.run(["bash", str(folder / "run.sh"), runner, *checks], env=env, check=False).returncode == 0  # noqa: S603, S607 - the checks


if __name__ == "__main__":
    main()
