"""The newest versions of a client in the npm registry, each installed in a folder of its own."""

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

TIMEOUT = 300
"""Seconds for one command of npm."""
_RELEASE = re.compile(r"\d+\.\d+\.\d+")
"""A version that is neither a preview nor the build for one platform."""


class VersionError(Exception):
    """Versions that cannot be listed, or a version that cannot be installed. The message says why, in one line."""


def newest_versions(package: str, count: int, environment: Mapping[str, str]) -> list[str]:
    """Return the latest version of a package and those before it, newest first.

    Raises:
        VersionError: The registry cannot be read, or does not have the package.
    """
    answer = json.loads(_npm(environment, "view", package, "version", "versions", "--json"))
    releases = sorted(filter(_RELEASE.fullmatch, answer["versions"]), key=_sort_key, reverse=True)
    latest = _sort_key(answer["version"])
    return [version for version in releases if _sort_key(version) <= latest][:count]


def install(package: str, version: str, folder: Path, environment: Mapping[str, str]) -> None:
    """Install a version of a package, unless the folder has it.

    Raises:
        VersionError: It cannot be installed.
    """
    if (folder / "node_modules" / ".bin").is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    options = ("--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(folder))
    _npm(environment, "install", *options, f"{package}@{version}")


def _sort_key(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _npm(environment: Mapping[str, str], *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - a command of this file
            ["npm", *arguments],  # noqa: S607 - npm of the machine
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        raise VersionError("npm is not installed") from None
    except subprocess.TimeoutExpired:
        raise VersionError(f"npm did not end within {TIMEOUT} seconds") from None
    if done.returncode:
        code = re.search(r"npm error code (\S+)", done.stderr)
        raise VersionError(f"npm: {code[1] if code else f'exit code {done.returncode}'}")
    return done.stdout
