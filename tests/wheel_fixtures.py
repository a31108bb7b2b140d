"""The wheel of this source tree, built and installed once for a test session."""

import fcntl
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from commands import environment

ROOT = Path(__file__).parents[1]
TIMEOUT = 120


def run(*command: str | Path, home: Path) -> str:
    """Run a command that must succeed. Return its output."""
    completed = subprocess.run(  # noqa: S603 - fixed commands
        command, cwd=home, env=environment(home), check=False, capture_output=True, text=True, timeout=TIMEOUT
    )
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


@pytest.fixture(scope="session")
def wheel_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Build and install the wheel, and return the folder of both. All workers of a session share it.

    The installed build tools are used, so that nothing is downloaded. Dependencies are imported from the environment of
    the tests.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "wheel"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            _install(_build(folder), folder)
            (folder / "done").touch()
    return folder


@pytest.fixture(scope="session")
def wheel(wheel_folder: Path) -> Path:
    """Return the wheel."""
    [path] = wheel_folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def binaries(wheel_folder: Path) -> Path:
    """Return the directory of the programs of an environment in which the wheel is installed."""
    return wheel_folder / "venv" / "bin"


def _build(folder: Path) -> Path:
    options = ("wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", *options, home=folder)
    [path] = folder.glob("*.whl")
    return path


def _install(wheel: Path, folder: Path) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", home=folder)
    python = folder / "venv" / "bin" / "python"
    packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", home=folder)
    # This directory comes after the new environment's own one. The `.pth` files in it are not read, so the editable
    # installation of this source tree is not found.
    (Path(packages.strip()) / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    options = ("--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", *options, home=folder)
