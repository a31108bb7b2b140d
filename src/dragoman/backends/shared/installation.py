"""The installed Claude Code: where it is, the environment of its processes, and the files of one run."""

import importlib.util
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import psutil

from dragoman.backends.shared.child_process import ChildProcess
from dragoman.core.errors import UpstreamFailed

# What a program needs to run and to reach the network. Nothing else is inherited.
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
# What the operator's own sign-in also needs: the home that holds it, and the documented variable for a long-lived one.
_INHERITED_SIGNED_IN = (
    "HOME",
    "USER",
    "LOGNAME",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "CLAUDE_CODE_OAUTH_TOKEN",
)


class Installation(Protocol):
    """The settings of an installed Claude Code. The options of backends have these attributes."""

    @property
    def state_dir(self) -> Path:
        """The gateway's own directory. It gets a scratch home, configuration and working directories."""
        ...

    @property
    def command(self) -> Path | None:
        """The executable; None for the one in `claude-agent-sdk`, or the one on the path."""
        ...

    @property
    def api_key(self) -> str | None:
        """The Messages API key. Unused with `signed_in`."""
        ...

    @property
    def base_url(self) -> str | None:
        """The address of the Messages API; None for the default."""
        ...

    @property
    def signed_in(self) -> bool:
        """Whether the operator's own sign-in is used."""
        ...

    @property
    def config_dir(self) -> Path | None:
        """The `CLAUDE_CONFIG_DIR`; None for a scratch one, or with `signed_in` for its default."""
        ...

    @property
    def retries(self) -> int:
        """How often Claude Code calls the API again after a failure."""
        ...


def locate(options: Installation) -> Path:
    """Return the executable: the configured one, else the one in `claude-agent-sdk`, else `claude` on the path.

    Raises:
        UpstreamFailed: There is no executable.
    """
    if options.command is not None:
        return options.command
    # The package is found without an import, which would take most of a second.
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
    """Return the environment of Claude Code's processes. Only listed variables are inherited."""
    names = (*_INHERITED, *_INHERITED_SIGNED_IN) if options.signed_in else _INHERITED
    variables = {name: outer[name] for name in names if name in outer}
    variables |= {
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
        "CLAUDE_CODE_MAX_RETRIES": str(options.retries),
    }
    if options.base_url:
        variables["ANTHROPIC_BASE_URL"] = options.base_url
    if options.signed_in:
        variables["CLAUDE_CODE_DISABLE_ATTACHMENTS"] = "1"
        if options.config_dir:
            variables["CLAUDE_CONFIG_DIR"] = str(options.config_dir)
    else:
        variables["CLAUDE_CODE_SIMPLE"] = "1"
        variables["ANTHROPIC_API_KEY"] = options.api_key or ""
        variables["HOME"] = str(options.state_dir / "home")
        variables["CLAUDE_CONFIG_DIR"] = str(options.config_dir or options.state_dir / "claude")
    return variables


def prepare(options: Installation) -> Path:
    """Make the gateway's directories, for its user alone, and return the empty working directory of every process."""
    work = options.state_dir / "work"
    for folder in (options.state_dir, options.state_dir / "home", options.state_dir / "claude", work):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return work


async def launch(
    options: Installation, arguments: Sequence[str], env: Mapping[str, str], cwd: Path, prefix: Sequence[str] = ()
) -> ChildProcess:
    """Start a process of Claude Code. `prefix` is a command that runs the rest of its command line.

    Raises:
        UpstreamFailed: There is no executable, or it cannot be started.
    """
    try:
        return await ChildProcess.spawn([*prefix, str(locate(options)), *arguments], env=env, cwd=cwd)
    except OSError as error:
        text = f"The Claude Code runtime cannot be started: {error.strerror}."
        raise UpstreamFailed(text, code="runtime_missing") from error


def run_path(folder: Path, run: str) -> Path:
    """Return the path of a run's file or directory. `run` must be unique.

    The name begins with the gateway's process id, so that the files of a killed gateway can be found.
    """
    return folder / f"{os.getpid()}-{run}"


def remove_stale_files(folder: Path) -> None:
    """Remove the files and directories of killed gateways. Call this before the first run. Blocks."""
    for path in folder.glob("*-*"):
        pid = path.name.partition("-")[0]
        if pid.isdecimal() and (int(pid) == os.getpid() or not psutil.pid_exists(int(pid))):
            remove(path)


def remove(path: Path) -> None:
    """Remove a file, or a directory with its contents. Blocks."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write a new file that only the gateway's user can read. Blocks."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
