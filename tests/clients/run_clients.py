"""Real clients against the whole gateway: `make clients`.

The checks are black boxes that live outside this repository: in the folder that DRAGOMAN_CLIENTS names, else in
`shared/clients` beside it. Clients are installed in `.clients/`, the gateway is `dragoman serve --simulate`. Those that
are installed are also asked a question through what `dragoman connect` prints for them.
"""

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from connect_clients import PACKAGES, Clients

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
"""Those whose client takes over a minute to install or run."""
_MODELS = ("sonnet", "claude-opus-5", "claude-sonnet-4-5")
_ONE_MODEL = "sonnet"
_ASKED_OF = {"openai_chat": _MODELS, "anthropic_sdk": ("claude-opus-5", "claude-sonnet-4-5")}
"""Runners that ask other models than the one; not every model takes what Anthropic's own client is tried with."""
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
@click.option("--model", "models", multiple=True, help="A model to ask. [default: one of each family, or the newest]")
@click.option("--runner", "runners", multiple=True, help=f"A runner. [default: {', '.join(_RUNNERS)}]")
@click.option("--backend", "backends", multiple=True, help="How the gateway asks its simulator. [default: each way]")
@click.option("--quick", is_flag=True, help="Leave out what takes over a minute to install or run.")
@click.argument("checks", nargs=-1)
def main(
    models: Sequence[str], runners: Sequence[str], backends: Sequence[str], checks: Sequence[str], *, quick: bool
) -> None:
    """Run all CHECKS, or some."""
    folder = Path(os.environ.get("DRAGOMAN_CLIENTS") or _REPOSITORY.parent / "shared" / "clients").resolve()
    if not (folder / "run.sh").is_file():
        click.echo(f"SKIPPED: no client checks in {folder}. Name their folder in DRAGOMAN_CLIENTS.")
        return
    wanted = list(runners or (runner for runner in _RUNNERS if not (quick and runner in _SLOW)))
    for client in {_RUNNERS.get(runner, runner) for runner in wanted}:
        _install(folder, client)
    if not (quick or runners):
        for client, package in PACKAGES.items():
            _install_package(client, package)
    failed: list[str] = []
    for backend in backends or _BACKENDS:
        with TemporaryDirectory(prefix="dragoman-clients-") as home, _gateway(Path(home), backend) as address:
            failed += [
                f"{runner} with {model} on {backend}"
                for runner in wanted
                for model in models or _ASKED_OF.get(runner, (_ONE_MODEL,))
                if not _passes(folder, runner, checks, BASE_URL=f"{address}/v1", MODEL=model, HOME=home)
            ]
            clients = Clients(_INSTALLED, address, _environment())
            failed += [f"what `connect` prints for {name}" for name in clients.known if not _finds(clients, name)]
    click.echo(f"Failed: {', '.join(failed)}" if failed else "All client checks passed.")
    sys.exit(bool(failed))


def _finds(clients: Clients, name: str) -> bool:
    click.echo(f"{name}, by what `dragoman connect {name}` prints")
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
    """One of the npm registry, that no runner of the checks needs."""
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
    """The installer that the checks' own script wants, from the package index where the machine has none."""
    if found := shutil.which("uv"):
        return found
    tools = _INSTALLED / "tools"
    if not (tools / "bin" / "uv").is_file():
        venv.create(tools, with_pip=True)
        _call([str(tools / "bin" / "python"), "-m", "pip", "install", "--quiet", "uv"], _environment())
    return str(tools / "bin" / "uv")


def _call(command: Sequence[str], env: dict[str, str]) -> None:
    subprocess.run(command, env=env, check=True)  # noqa: S603 - named by whoever runs the checks


def _environment(**added: str) -> dict[str, str]:
    """No account, no settings: what reaches the index and finds programs, and what a run needs."""
    return {**{name: os.environ[name] for name in _NETWORK if name in os.environ}, "LANG": "C.UTF-8", **added}


@contextmanager
def _gateway(home: Path, backend: str) -> Iterator[str]:
    command = [str(Path(sys.executable).with_name("dragoman")), "serve", "--simulate", "-p", "0", "-m"]
    command += ["--backend", backend, "--log-file", "log"]
    process = subprocess.Popen(  # noqa: S603 - our own command
        command, stdout=subprocess.PIPE, text=True, cwd=home, env=_environment(HOME=str(home))
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate()


def _passes(folder: Path, runner: str, checks: Sequence[str], **asked: str) -> bool:
    click.echo(f"{runner} with {asked['MODEL']}")
    env = _environment(API_KEY="none", CLIENTS_ROOT=str(_INSTALLED), PYTHONDONTWRITEBYTECODE="1", **asked)
    return subprocess.run(["bash", str(folder / "run.sh"), runner, *checks], env=env, check=False).returncode == 0  # noqa: S603, S607 - named by whoever runs the checks


if __name__ == "__main__":
    main()
