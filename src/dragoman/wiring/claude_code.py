"""The backends that run Claude Code, built from settings. Imported only if one of them is used."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import TypedDict

from dragoman.backends.base import Backend
from dragoman.backends.claude_code.agent.boundary import Boundary
from dragoman.backends.claude_code.agent.rules import AgentRules
from dragoman.backends.claude_code.backend import ClaudeCodeBackend
from dragoman.backends.claude_code.doctor.probe import ScriptedApi
from dragoman.backends.claude_code.doctor.report import Finding, examine
from dragoman.backends.claude_code.options import ClaudeCodeOptions
from dragoman.config.secrets import reveal
from dragoman.config.settings import Settings
from dragoman.core.catalog import Catalog
from dragoman.core.errors import NotFound
from dragoman.wiring.checks import SIMULATED_KEY, claude_command, real_path, secrets_of


def build_runtime_backend(settings: Settings, simulator: str | None, all_settings: Settings | None) -> Backend:
    """Build the backend of the official runtime. The arguments are those of `runtime_options`."""
    return ClaudeCodeBackend(runtime_options(settings, simulator, all_settings))


def runtime_options(
    settings: Settings, simulator: str | None = None, all_settings: Settings | None = None
) -> ClaudeCodeOptions:
    """Return the options of the runtime.

    Args:
        settings: The settings of the account, checked.
        simulator: The address of a simulator to call instead of Claude, without the operator's account.
        all_settings: The settings of all accounts, whose files are hidden from agents. By default the same.
    """
    try:
        default_model = Catalog(aliases=settings.model_aliases).resolve(settings.default_model).model.id
    except NotFound:  # perhaps a newer model
        default_model = settings.default_model
    agents = AgentRules()
    if settings.allow_dir:
        boundary = Boundary(
            readable=tuple(real_path(path) for path in settings.allow_read),
            hidden=tuple(real_path(path) for path, _, _ in secrets_of(all_settings or settings)),
        )
        agents = AgentRules(
            directories=tuple(real_path(path) for path in settings.allow_dir),
            modes=frozenset(settings.allow_permission_mode),
            allowed_tools=settings.allow_tool,
            max_budget_usd=settings.agent_max_budget_usd or None,
            boundary=boundary if settings.agent_boundary else None,
        )
    return ClaudeCodeOptions(
        **installation_options(settings, simulator),
        default_model=default_model,
        warm_processes=settings.spares,
        long_processes=settings.long_spares if settings.spares else 0,
        max_live=settings.max_live,
        live_ttl=settings.live_ttl,
        parked_ttl=settings.parked_ttl,
        max_memory=settings.max_memory,
        trace=settings.log_level == "trace" or settings.trace_file is not None,
        agents=agents,
    )


class _Installation(TypedDict):
    """Options of both backends that run Claude Code."""

    state_dir: Path
    command: Path | None
    api_key: str | None
    base_url: str | None
    signed_in: bool
    config_dir: Path | None
    retries: int
    silence: float


def installation_options(settings: Settings, simulator: str | None) -> _Installation:
    """Return the options that both backends share."""
    return _Installation(
        state_dir=settings.state_dir.expanduser(),
        command=claude_command(settings),
        api_key=SIMULATED_KEY if simulator else reveal(settings.anthropic_api_key),
        base_url=simulator or settings.anthropic_base_url,
        signed_in=settings.signed_in and not simulator,
        config_dir=None if simulator else settings.claude_config_dir,
        retries=settings.retries,
        silence=settings.silence_timeout,
    )


async def diagnose(settings: Settings) -> AsyncGenerator[Finding]:
    """Test the runtime against a simulator of its own, and yield each finding."""
    from dragoman.simulator.server import Simulator  # noqa: PLC0415 - seldom used, and slow to import

    async with Simulator() as simulator:
        api = ScriptedApi(simulator.url, lambda: [call.body for call in simulator.calls])
        async with aclosing(examine(runtime_options(settings, simulator.url), api)) as findings:
            async for finding in findings:
                yield finding
