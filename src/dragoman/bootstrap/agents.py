"""What agents may do, by the settings."""

import os
from collections.abc import Iterator
from pathlib import Path

from dragoman.backends.runtime.agent.rules import AgentRules
from dragoman.settings import BadSettings, Settings


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
