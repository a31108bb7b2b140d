"""Files of one run: named by the process that has them, so that those of a killed one are found.

Claude Code on this machine: where it is, and what of the surroundings its processes get.

Starting Claude Code.
"""

import importlib.util
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import psutil

from dragoman.backends.shared.child_process import ChildProcess
from dragoman.core.errors import UpstreamFailed


def named(folder: Path, run: str) -> Path:
    """Where a run of ours has its file or directory. The run's name is to be its own."""
    return folder / f"{os.getpid()}-{run}"


def remove_stale_files(folder: Path) -> None:
    """Remove what gateways left that were killed; of our own there is nothing yet."""
    for path in folder.glob("*-*"):
        owner = path.name.partition("-")[0]
        if owner.isdecimal() and (int(owner) == os.getpid() or not psutil.pid_exists(int(owner))):
            remove(path)


def remove(path: Path) -> None:
    """Remove a file or a directory, with all that is in it."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write(path: Path, text: str) -> None:
    """Write a new file, for the gateway's user alone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


class Installation(Protocol):
    """What has to be known of it; options of backends are such."""

    @property
    def state_dir(self) -> Path:
        """A directory of ours; scratch home, configuration and working directories are made in it."""
        ...

    @property
    def command(self) -> Path | None:
        """The executable; None: the one that `claude-agent-sdk` carries, or the one on the path."""
        ...

    @property
    def api_key(self) -> str | None:
        """The Messages API key that it uses; unused with `signed_in`."""
        ...

    @property
    def base_url(self) -> str | None:
        """Where it finds the Messages API; None: its own default."""
        ...

    @property
    def signed_in(self) -> bool:
        """Whether it uses its owner's own sign-in instead of a key."""
        ...

    @property
    def config_dir(self) -> Path | None:
        """Its `CLAUDE_CONFIG_DIR`; None: a scratch one, or with `signed_in` its own default."""
        ...

    @property
    def retries(self) -> int:
        """How often it asks the API again after a failure."""
        ...


# What a program needs of its surroundings to run and to reach the network; nothing else is inherited.
_INHERITED = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
)
# What the owner's own sign-in needs besides: the home that holds it, and the documented variable for a long-lived one.
_INHERITED_SIGNED_IN = (
    "HOME",
    "USER",
    "LOGNAME",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "CLAUDE_CODE_OAUTH_TOKEN",
)


def locate(options: Installation) -> Path:
    """The executable: the configured one, else the one in the `claude-agent-sdk` wheel, else `claude` on the path.

    Raises:
        UpstreamFailed: There is none.
    """
    if options.command is not None:
        return options.command
    # Found without importing it: the package costs most of a second to import.
    spec = importlib.util.find_spec("claude_agent_sdk")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        bundled = Path(folder) / "_bundled" / "claude"
        if bundled.is_file():
            return bundled
    if found := shutil.which("claude"):
        return Path(found)
    raise UpstreamFailed(
        "No Claude Code runtime was found. Reinstall `claude-agent-sdk`, or name one with `--claude-command`.",
        code="runtime_missing",
    )


def environment(options: Installation, outer: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of its processes, made from scratch."""
    names = (*_INHERITED, *_INHERITED_SIGNED_IN) if options.signed_in else _INHERITED
    made = {name: outer[name] for name in names if name in outer}
    made |= {
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
        "CLAUDE_CODE_MAX_RETRIES": str(options.retries),
    }
    if options.base_url:
        made["ANTHROPIC_BASE_URL"] = options.base_url
    if options.signed_in:
        made["CLAUDE_CODE_DISABLE_ATTACHMENTS"] = "1"
        if options.config_dir:
            made["CLAUDE_CONFIG_DIR"] = str(options.config_dir)
    else:
        made["CLAUDE_CODE_SIMPLE"] = "1"
        made["ANTHROPIC_API_KEY"] = options.api_key or ""
        made["HOME"] = str(options.state_dir / "home")
        made["CLAUDE_CONFIG_DIR"] = str(options.config_dir or options.state_dir / "claude")
    return made


def prepare(options: Installation) -> Path:
    """Make our directories, for us alone, and return the empty working directory of every process."""
    work = options.state_dir / "work"
    for folder in (options.state_dir, options.state_dir / "home", options.state_dir / "claude", work):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return work


async def launch(options: Installation, arguments: Sequence[str], env: Mapping[str, str], cwd: Path) -> ChildProcess:
    """Start a process of it.

    Raises:
        UpstreamFailed: There is no runtime, or it cannot be started.
    """
    try:
        return await ChildProcess.spawn([str(locate(options)), *arguments], env=env, cwd=cwd)
    except OSError as error:
        words = f"The Claude Code runtime cannot be started: {error.strerror}."
        raise UpstreamFailed(words, code="runtime_missing") from error
