"""The command itself: help, version, aliases."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from dragoman import __version__
from dragoman.cli.main import ALIASES, COMMANDS, cli, load_command
from dragoman.config.loading import flag, variables
from dragoman.config.settings import Settings


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    """Return a runner for commands in this process, with an environment without settings."""
    monkeypatch.chdir(tmp_path)
    ours = dict.fromkeys(variable for name in Settings.model_fields for variable in variables(name))
    return CliRunner(env={**ours, "XDG_CONFIG_HOME": str(tmp_path)})


def test_help_loads_nothing() -> None:
    """`dragoman --help` is fast because it imports no part of the server."""
    code = (
        "import sys\nfrom dragoman.cli.main import cli\n"
        "try: cli(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'pydantic', 'starlette', 'uvicorn', 'dragoman.core.log'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_summaries(name: str) -> None:
    """The summary in `dragoman --help` is the beginning of the command's own help."""
    command = load_command(name)
    assert str(command.help).startswith(COMMANDS[name].summary.rstrip(".").split(",")[0])


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(runner: CliRunner, option: str) -> None:
    """The help lists each command."""
    result = runner.invoke(cli, [option])
    assert result.exit_code == 0
    assert all(name in result.output for name in COMMANDS)


def test_help_of_serve_names_every_flag(runner: CliRunner) -> None:
    """Each setting with a flag is an option of `serve` and of its alias."""
    for name in ("serve", *ALIASES):
        result = runner.invoke(cli, [name, "-h"])
        missing = [option for option in map(flag, Settings.model_fields) if option and option not in result.output]
        assert missing == [], result.output
        assert "DRAGOMAN_PORT, PORT" in result.output


def test_version(runner: CliRunner) -> None:
    """`--version` prints the version of the package."""
    assert __version__ in runner.invoke(cli, ["--version"]).output


def test_unknown_command(runner: CliRunner) -> None:
    """An unknown command is an error that names it."""
    result = runner.invoke(cli, ["sevre"])
    assert result.exit_code == 2
    assert "sevre" in result.output


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["--port", "many"], "port (--port, DRAGOMAN_PORT, PORT)"),
        (["--host", "0.0.0.0"], "--api-key KEY"),  # noqa: S104 - refused
        (["--backend", "bedrock"], "--cloud bedrock"),
        (["--config", "gone.toml"], "gone.toml cannot be read"),
        (["--host", "10.0.0.1", "--api-key", "k", "--signed-in"], "--allow-remote-signed-in"),
        (["--process-timeout-ms", "0"], "--process-timeout-ms"),
    ],
)
def test_bad_settings(runner: CliRunner, arguments: list[str], output: str) -> None:
    """An invalid setting is an error message, not a traceback."""
    result = runner.invoke(cli, ["serve", *arguments])
    assert result.exit_code != 0
    assert output in result.output
    assert "Traceback" not in result.output
