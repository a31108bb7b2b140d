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
    """Something that runs commands in this process, with an environment that says nothing."""
    monkeypatch.chdir(tmp_path)
    ours = dict.fromkeys(variable for name in Settings.model_fields for variable in variables(name))
    return CliRunner(env={**ours, "XDG_CONFIG_HOME": str(tmp_path)})


def test_help_loads_nothing() -> None:
    """`dragoman --help` is quick since it needs none of what serves."""
    code = (
        "import sys\nfrom dragoman.cli.main import cli\n"
        "try: cli(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'pydantic', 'starlette', 'uvicorn', 'structlog'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_summaries(name: str) -> None:
    """What `--help` says of a command is what the command says of itself."""
    command = load_command(name)
    assert str(command.help).startswith(COMMANDS[name].summary.rstrip(".").split(",")[0])


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(runner: CliRunner, option: str) -> None:
    """Each command is listed."""
    told = runner.invoke(cli, [option])
    assert told.exit_code == 0
    assert all(name in told.output for name in COMMANDS)


def test_help_of_serve_names_every_flag(runner: CliRunner) -> None:
    """Each setting that has a flag is an option of `serve`, and of its alias."""
    for name in ("serve", *ALIASES):
        told = runner.invoke(cli, [name, "-h"])
        missing = [option for option in map(flag, Settings.model_fields) if option and option not in told.output]
        assert missing == [], told.output
        assert "DRAGOMAN_PORT, PORT" in told.output


def test_version(runner: CliRunner) -> None:
    """It is the package's."""
    assert __version__ in runner.invoke(cli, ["--version"]).output


def test_unknown_command(runner: CliRunner) -> None:
    """A wrong name is an error in words."""
    told = runner.invoke(cli, ["sevre"])
    assert told.exit_code == 2
    assert "sevre" in told.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "many"], "port (--port, DRAGOMAN_PORT, PORT)"),
        (["--host", "0.0.0.0"], "--api-key KEY"),  # noqa: S104 - refused
        (["--backend", "bedrock"], "--cloud bedrock"),
        (["--config", "gone.toml"], "gone.toml cannot be read"),
        (["--host", "10.0.0.1", "--api-key", "k", "--signed-in"], "--allow-remote-signed-in"),
        (["--process-timeout-ms", "0"], "--process-timeout-ms"),
    ],
)
def test_bad_settings(runner: CliRunner, arguments: list[str], said: str) -> None:
    """They end the command with a sentence, not a traceback."""
    told = runner.invoke(cli, ["serve", *arguments])
    assert told.exit_code != 0
    assert said in told.output
    assert "Traceback" not in told.output
