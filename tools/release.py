"""Check a release: `make release`. It builds, tries and describes what is published, and publishes nothing.

1. The version has a tag at this commit, and a section in the changelog; `ARGS=--no-tag` leaves that out.
2. The sdist and the wheel are built twice, in two directories: they must be the same bytes.
3. The wheel is installed in an empty environment of each Python that is found, 3.11 to 3.14. There the command prints
   its version and its help, and a simulated gateway answers a request.

Prints a table of what was tried, and the hashes of the files. Exit code 1: a check failed.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_HELP_RUNS = 5
_MAX_HELP_SECONDS = 0.25
_BODY = {"model": "sonnet", "messages": [{"role": "user", "content": "Reply with exactly: PONG"}]}


class CheckFailed(SystemExit):
    """A check of the release failed. The message says which."""


def main() -> None:
    """Check the release, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-tag", action="store_true", help="try the commit as it is, without a tag")
    parser.add_argument("--python", action="append", type=Path, default=[], help="another Python to try")
    given = parser.parse_args()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    if not given.no_tag:
        check_tag(version)
    with tempfile.TemporaryDirectory(prefix="dragoman-release-") as work:
        files = build_twice(Path(work))
        wheel = next(file for file in files if file.suffix == ".whl")
        print("| Python | packages | installed | `--help` | a request |\n|---|---|---|---|---|")
        for python in [*find_pythons(), *given.python]:
            print(try_wheel(wheel, python, Path(work)), flush=True)
        print("\n| file | size | SHA-256 |\n|---|---|---|")
        for file in files:
            content = file.read_bytes()
            print(f"| `{file.name}` | {len(content) / 1e6:.1f} MB | `{hashlib.sha256(content).hexdigest()}` |")
            shutil.copy(file, ROOT / "dist" / file.name)


def check_tag(version: str) -> None:
    """Check that this commit has the tag of its version, that nothing is changed, and that the changelog names it."""
    if _git("status", "--porcelain"):
        raise CheckFailed("There are changes that are not committed.")
    tags = _git("tag", "--points-at", "HEAD").split()
    if f"v{version}" not in tags:
        raise CheckFailed(f"This commit has no tag v{version}, the version of pyproject.toml. Its tags: {tags}.")
    if f"\n## [{version}]" not in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"):
        raise CheckFailed(f"CHANGELOG.md has no section [{version}].")


def build_twice(work: Path) -> list[Path]:
    """Build the sdist and the wheel twice, and return the files of the first build."""
    builds = []
    for name in ("first", "second"):
        environment = {**os.environ, "SOURCE_DATE_EPOCH": _git("log", "-1", "--format=%ct")}
        _run(sys.executable, "-m", "hatchling", "build", "-d", str(work / name), environment=environment)
        builds.append(sorted((work / name).iterdir()))
    first, second = builds
    for one, other in zip(first, second, strict=True):
        if one.read_bytes() != other.read_bytes():
            raise CheckFailed(f"{one.name} differs from build to build.")
    (ROOT / "dist").mkdir(exist_ok=True)
    return first


def find_pythons() -> list[Path]:
    """Return the interpreters of this machine that a release is tried on. Those that are missing are named."""
    found = []
    for version in PYTHONS:
        home = Path.home() / ".pyenv" / "versions"
        paths = [*home.glob(f"{version}.*/bin/python"), shutil.which(f"python{version}")]
        if path := next((path for path in paths if path), None):
            found.append(Path(path))
        else:
            print(f"There is no Python {version} on this machine. `--python PATH` adds one.", file=sys.stderr)
    return found


def try_wheel(wheel: Path, python: Path, work: Path) -> str:
    """Install a wheel in an empty environment and use it. Return a row of the table."""
    home = work / f"home-{python.parent.parent.name}-{python.name}"
    home.mkdir()
    _run(str(python), "-m", "venv", str(home / "venv"))
    binaries = home / "venv" / "bin"
    _run(str(binaries / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel))
    version = _run(str(binaries / "python"), "-c", "import platform; print(platform.python_version())")
    packages = json.loads(_run(str(binaries / "python"), "-m", "pip", "list", "--format=json"))
    size = sum(path.stat().st_size for path in (home / "venv" / "lib").rglob("*") if path.is_file())
    seconds = min(_seconds_of_help(binaries / "dragoman", home) for _ in range(_HELP_RUNS))
    if seconds > _MAX_HELP_SECONDS:
        raise CheckFailed(f"Python {version}: `dragoman --help` takes {seconds:.2f} s, at most {_MAX_HELP_SECONDS}.")
    text = ask(binaries / "dragoman", home)
    if text != "PONG":
        raise CheckFailed(f"Python {version}: the gateway answered {text!r}.")
    return f"| {version} | {len(packages) - 2} | {size / 1e6:.0f} MB | {seconds:.2f} s | answered |"


def ask(dragoman: Path, home: Path) -> str:
    """Start a simulated gateway, send a request, stop it, and return the text of the response."""
    with _gateway(dragoman, home) as url:
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"{url}/chat/completions", json.dumps(_BODY).encode(), headers)  # noqa: S310 - our own address
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
            text: str = json.load(response)["choices"][0]["message"]["content"]
            return text


@contextmanager
def _gateway(dragoman: Path, home: Path) -> Iterator[str]:
    command = (str(dragoman), "serve", "--simulate", "-p", "0", "--minimal", "--log-file", "log")
    with subprocess.Popen(command, cwd=home, env=_clean(home), stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - fixed
        try:
            address = next((line for line in process.stdout or () if line.startswith("http")), "").strip()
            yield f"{address}/v1"
        finally:
            process.terminate()
    if process.returncode:
        raise CheckFailed(f"The gateway ended with {process.returncode}.")


def _seconds_of_help(dragoman: Path, home: Path) -> float:
    began = time.perf_counter()
    _run(str(dragoman), "--help", environment=_clean(home))
    return time.perf_counter() - began


def _clean(home: Path) -> dict[str, str]:
    """Return an environment without keys and settings of this machine."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "LANG", "LC_"))}
    return {**kept, "HOME": str(home), "PATH": os.defpath}


def _git(*arguments: str) -> str:
    return _run("git", "-C", str(ROOT), *arguments)


def _run(*command: str, environment: dict[str, str] | None = None) -> str:
    ended = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)  # noqa: S603 - fixed
    if ended.returncode:
        raise CheckFailed(f"{' '.join(command)} failed:\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}")
    return ended.stdout.strip()


if __name__ == "__main__":
    main()
