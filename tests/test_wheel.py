"""The wheel, as users get it: built, installed in an environment of its own, and started."""

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
QUESTION = {"model": "sonnet", "messages": [{"role": "user", "content": "Reply with exactly: PONG"}]}


def run(*command: str | Path, home: Path) -> str:
    """What a command prints; it may not fail."""
    done = subprocess.run(  # noqa: S603 - ours
        command, cwd=home, env=environment(home), check=False, capture_output=True, text=True, timeout=TIMEOUT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """The wheel of this tree. What builds it is installed already, so that nothing is fetched."""
    given = ("wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", tmp_path, ROOT)
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", *given, home=tmp_path)
    [made] = tmp_path.glob("*.whl")
    return made


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Path:
    """The programs of an environment that has the wheel, and sees everything else where it stands already."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", home=tmp_path)
    binaries = tmp_path / "venv" / "bin"
    packages = run(binaries / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", home=tmp_path)
    # Behind its own packages; the editable one of this tree is not found by this, since its own such file is not read.
    (Path(packages.strip()) / "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    into = ("--python", binaries / "python", "install", "--quiet", "--no-deps", "--no-index", wheel)
    run(sys.executable, "-m", "pip", "--disable-pip-version-check", *into, home=tmp_path)
    return binaries


@contextmanager
def serving(dragoman: Path, home: Path) -> Iterator[str]:
    """A gateway in front of its simulator; its address."""
    command: list[str | Path] = [dragoman, "serve", "--simulate", "-p", "0", "--minimal", "--log-file", "log"]
    with subprocess.Popen(command, cwd=home, env=environment(home), stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
        try:
            assert process.stdout is not None
            yield next(line for line in process.stdout if line.startswith("http")).strip()
        finally:
            process.terminate()


def test_what_is_inside(wheel: Path) -> None:
    """Every file of the package, the mark that it is typed, the licence, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert f"dragoman-{__version__}.dist-info/licenses/LICENSE" in archive.namelist()
    package = ROOT / "src" / "dragoman"
    files = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert inside == {path.relative_to(ROOT / "src").as_posix() for path in files}
    assert "dragoman/py.typed" in inside


def test_it_runs(installed: Path, tmp_path: Path) -> None:
    """The command that it installs says its version, answers a question, and has its pages."""
    where = run(installed / "python", "-c", "import dragoman; print(dragoman.__file__)", home=tmp_path)
    assert where.startswith(str(tmp_path))
    assert __version__ in run(installed / "dragoman", "--version", home=tmp_path)
    with serving(installed / "dragoman", tmp_path) as address, httpx.Client(base_url=address, timeout=TIMEOUT) as http:
        answer = http.post("/v1/chat/completions", json=QUESTION)
        page = http.get("/docs")
    assert answer.json()["choices"][0]["message"]["content"] == "PONG"
    assert "/v1/chat/completions" in page.text


def test_every_import_is_declared() -> None:
    """Each module of another project that the package imports belongs to a declared dependency."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = {
        _normal(re.split(r"[\[<>=;]", line)[0])
        for line in (*project["dependencies"], *extras["cloud"], *extras["embeddings"])
    }
    # Brought by declared packages, whose interfaces are made of them.
    declared |= {"pydantic", "botocore", "httpx2"}
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
