"""The wheel: its contents, its declared dependencies, and the installed gateway."""

import ast
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import packages_distributions
from pathlib import Path

import httpx
import pytest
from commands import environment

from dragoman import __version__

ROOT = Path(__file__).parents[1]
TIMEOUT = 120
REQUEST = {"model": "sonnet", "messages": [{"role": "user", "content": "Reply with exactly: PONG"}]}


def run(*command: str | Path, home: Path) -> str:
    """Run a command that must succeed. Return its output."""
    completed = subprocess.run(  # noqa: S603 - fixed commands
        command, cwd=home, env=environment(home), check=False, capture_output=True, text=True, timeout=TIMEOUT
    )
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of this source tree, with the installed build tools, so that nothing is downloaded."""
    tmp_path = tmp_path_factory.mktemp("wheel")
    options = ("wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", tmp_path, ROOT)
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", *options, home=tmp_path)
    [path] = tmp_path.glob("*.whl")
    return path


@pytest.fixture
def binaries(wheel: Path, tmp_path: Path) -> Path:
    """Install the wheel in a new environment, and return the directory of its programs.

    Dependencies are imported from the environment of the tests.
    """
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", home=tmp_path)
    directory = tmp_path / "venv" / "bin"
    packages = run(directory / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", home=tmp_path)
    # This directory comes after the new environment's own one. The `.pth` files in it are not read, so the editable
    # installation of this source tree is not found.
    (Path(packages.strip()) / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    options = ("--python", directory / "python", "install", "--quiet", "--no-deps", "--no-index", wheel)
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", *options, home=tmp_path)
    return directory


@contextmanager
def serve(dragoman: Path, home: Path) -> Iterator[str]:
    """Start a gateway with a simulator, and yield its URL."""
    command: list[str | Path] = [dragoman, "serve", "--simulate", "-p", "0", "--minimal", "--log-file", "log"]
    with subprocess.Popen(command, cwd=home, env=environment(home), stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - fixed command
        try:
            assert process.stdout is not None
            yield next(line for line in process.stdout if line.startswith("http")).strip()
        finally:
            process.terminate()


def test_contents(wheel: Path) -> None:
    """The wheel contains each file of the package, also `py.typed`, and the licence. It contains nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        contents = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert f"dragoman-{__version__}.dist-info/licenses/LICENSE" in archive.namelist()
    package = ROOT / "src" / "dragoman"
    files = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert contents == {path.relative_to(ROOT / "src").as_posix() for path in files}
    assert "dragoman/py.typed" in contents


def test_installed_gateway(binaries: Path, tmp_path: Path) -> None:
    """The installed command prints its version, and its gateway responds to a request and serves the docs page."""
    module = run(binaries / "python", "-c", "import dragoman; print(dragoman.__file__)", home=tmp_path)
    assert module.startswith(str(tmp_path))
    assert __version__ in run(binaries / "dragoman", "--version", home=tmp_path)
    with serve(binaries / "dragoman", tmp_path) as url, httpx.Client(base_url=url, timeout=TIMEOUT) as http:
        response = http.post("/v1/chat/completions", json=REQUEST)
        page = http.get("/docs")
    assert response.json()["choices"][0]["message"]["content"] == "PONG"
    assert "/v1/chat/completions" in page.text


def test_imports_are_declared() -> None:
    """Each third-party module that the package imports belongs to a declared dependency."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = {
        _normal(re.split(r"[\[<>=;]", line)[0])
        for line in (
            *project["dependencies"],
            *(one for name in ("cloud", "embeddings", "otel", "postgres") for one in extras[name]),
        )
    }
    # Dependencies of declared packages, which use them in their own interfaces.
    declared |= {"pydantic", "pydantic-core", "botocore", "httpx2"}
    owners = packages_distributions()
    missing = {
        module
        for module in imported_modules()
        if module not in sys.stdlib_module_names and declared.isdisjoint(map(_normal, owners[module]))
    }
    assert not missing


def imported_modules() -> set[str]:
    """Return the top-level modules that the package imports."""
    modules: set[str] = set()
    for path in (ROOT / "src" / "dragoman").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.partition(".")[0])
    return modules - {"dragoman"}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower().strip()
