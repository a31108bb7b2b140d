"""The wheel: its contents, its declared dependencies, and the installed gateway."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import packages_distributions
from pathlib import Path

import httpx
from commands import environment

from dragoman import __version__
from wheel_fixtures import ROOT, TIMEOUT, run

REQUEST = {"model": "sonnet", "messages": [{"role": "user", "content": "Reply with exactly: PONG"}]}


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
    assert module.startswith(str(binaries.parent))
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
            *(one for name in ("cloud", "embeddings", "otel", "postgres", "redis") for one in extras[name]),
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
