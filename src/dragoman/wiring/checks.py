"""What would give strangers the use of the owner's account, and is refused.

What agents may do, by the settings.

The Claude Code that the settings name.

The directory for the gateway's own files.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from dragoman.backends.claude_code.agent.rules import AgentRules
from dragoman.config.loading import BadSettings, describe_setting
from dragoman.config.settings import Settings
from dragoman.server.middleware import is_loopback


def check_exposure(settings: Settings) -> None:
    """Refuse what would give strangers the use of the owner's account.

    Raises:
        BadSettings: With what to do instead.
    """
    if "*" in settings.allow_origin and not _keyed(settings):
        raise BadSettings(
            "allow_origin (--allow-origin) is `*`: every web page could use this gateway. Set a key: --api-key KEY."
        )
    if "*" in settings.allow_host and not _keyed(settings):
        raise BadSettings(
            "allow_host (--allow-host) is `*`: every web page could rebind its own name to this machine and use the "
            "gateway. Name the hosts, or set a key: --api-key KEY."
        )
    if is_loopback(settings.host):
        return
    if not _keyed(settings):
        raise BadSettings(
            f"host (--host) is {settings.host}, where others can reach it, and no key is set. Set one: "
            f"`dragoman serve --host {settings.host} --api-key KEY`, or DRAGOMAN_API_KEY or DRAGOMAN_API_KEY_FILE in "
            "the environment; or stay on 127.0.0.1."
        )
    if _signed_in(settings) and not settings.allow_remote_signed_in:
        raise BadSettings(
            f"signed_in (--signed-in) serves the account's owner alone, but host (--host) is {settings.host}, where "
            "others can reach it. Stay on 127.0.0.1; or, if nobody else will use it, say so: "
            "--allow-remote-signed-in."
        )


def _keyed(settings: Settings) -> bool:
    return bool(settings.api_key or settings.keys)


def _signed_in(settings: Settings) -> bool:
    return settings.signed_in or any(upstream.signed_in for upstream in settings.upstreams)


def agent_rules(settings: Settings) -> AgentRules:
    """The owner's word on agents.

    Raises:
        BadSettings: It would not be safe, or makes no sense.
    """
    if not settings.allow_dir:
        return AgentRules()
    _check_root(settings)
    return AgentRules(
        directories=tuple(_directory(path, settings) for path in settings.allow_dir),
        modes=frozenset(settings.allow_permission_mode),
        without_asking=settings.allow_tool,
        max_budget_usd=settings.agent_max_budget_usd or None,
    )


def check_agents(settings: Settings) -> None:
    """Refuse to let agents work where there is no runtime to have them.

    Raises:
        BadSettings: With what to do instead.
    """
    asked: set[str] = {upstream.backend for upstream in settings.upstreams} or {settings.backend}
    if settings.allow_dir and "runtime" not in asked:
        raise BadSettings(
            "allow_dir (--allow-dir) lets agents work, which Claude Code alone can: it goes with `--backend runtime`."
        )


def _directory(named: Path, settings: Settings) -> Path:
    path = Path(os.path.realpath(named.expanduser()))
    if not path.is_dir():
        raise BadSettings(f"allow_dir (--allow-dir): {named} is no directory. Make it, or name another.")
    for kept, what, instead in _kept_from_agents(settings):
        if Path(os.path.realpath(kept)).is_relative_to(path):
            raise BadSettings(
                f"allow_dir (--allow-dir): {named} holds {what} ({kept}), which agents must not reach. Name a "
                f"directory below it, or {instead}."
            )
    return path


def _kept_from_agents(settings: Settings) -> Iterator[tuple[Path, str, str]]:
    """Where secrets are, what they are, and what to do where agents could read them."""
    yield settings.state_dir.expanduser(), "the gateway's own files", "put the files elsewhere with --state-dir"
    if settings.signed_in:
        sign_in = settings.claude_config_dir or Path("~/.claude")
        yield sign_in.expanduser(), "your sign-in", "ask with an API key instead"
    if settings.api_key_file:
        yield settings.api_key_file.expanduser(), "the gateway's key", "put the file elsewhere"


def _check_root(settings: Settings) -> None:
    if "bypassPermissions" in settings.allow_permission_mode and os.geteuid() == 0 and "IS_SANDBOX" not in os.environ:
        raise BadSettings(
            "allow_permission_mode (--allow-permission-mode): Claude Code refuses `bypassPermissions` to root. Run the "
            "gateway as an ordinary user, or, in a container made for it alone, set IS_SANDBOX=1."
        )


def command_of(settings: Settings) -> Path | None:
    """The executable: a file, or what a name leads to on the path of this process; None: the bundled one."""
    if settings.claude_command is None:
        return None
    command = settings.claude_command.expanduser()
    return command.absolute() if command.is_file() else Path(shutil.which(command) or command)


def check_command(settings: Settings) -> None:
    """Refuse to serve with an executable that is none.

    Raises:
        BadSettings: With what to do instead.
    """
    if (command := command_of(settings)) and not shutil.which(command):
        raise BadSettings(
            f"{describe_setting('claude_command')}: {command} is no program that can be run. Name another, or leave "
            "it out: Claude Code comes with Dragoman."
        )


def make_state_dir(settings: Settings) -> None:
    """Have it, for the gateway's owner alone.

    Raises:
        BadSettings: It cannot be made, or not be written to.
    """
    folder = settings.state_dir.expanduser()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise BadSettings(
            f"{describe_setting('state_dir')}: {folder} cannot be used: {error.strerror}. Name another."
        ) from None
