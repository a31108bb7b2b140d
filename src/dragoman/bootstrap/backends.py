"""How Claude is asked: the backend that the settings name, and what tries its runtime."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from dragoman.backends.base import Backend
from dragoman.backends.runtime import RuntimeBackend, RuntimeOptions
from dragoman.backends.runtime.doctor import Finding, examine
from dragoman.backends.runtime.probe import ScriptedApi
from dragoman.bootstrap.agents import agent_rules
from dragoman.bootstrap.command import check_command, command_of
from dragoman.bootstrap.secrets import revealed
from dragoman.catalog import Catalog
from dragoman.errors import NotFound
from dragoman.settings import BadSettings, Settings
from dragoman.settings.upstreams import Cloud

if TYPE_CHECKING:
    from dragoman.backends.api import ApiOptions

SIMULATED_KEY = "sk-ant-simulated"


@dataclass(frozen=True, slots=True)
class CloudPlace:
    """Where on a cloud Claude is asked; what is None is for the cloud's own variables and files to say.

    Attributes:
        region: Its region.
        project: The Google Cloud project.
        profile: The profile of the AWS configuration.
        model_ids: What it calls models, where that is not what it usually is.
        api_key: A key of Bedrock's own.
        base_url: Another address of it.
    """

    region: str | None = None
    project: str | None = None
    profile: str | None = None
    model_ids: Mapping[str, str] = field(default_factory=dict)
    api_key: str | None = None
    base_url: str | None = None


_ANYWHERE = CloudPlace()


def backend_for(settings: Settings, simulator: str | None, place: CloudPlace = _ANYWHERE) -> Backend:
    """The backend.

    Args:
        settings: Which, and with what account.
        simulator: The address of a simulator that stands in for Claude.
        place: Where, if it is on a cloud.

    Raises:
        BadSettings: It cannot be had with these settings.
    """
    if settings.cloud and settings.backend != "api":
        raise BadSettings("cloud (--cloud) goes with `--backend api`.")
    if settings.backend != "api":
        check_command(settings)
    if settings.backend == "runtime":
        return RuntimeBackend(runtime_options(settings, simulator))
    if settings.backend == "cli":
        return _cli_backend(settings, simulator)
    from dragoman.backends.api import ApiBackend, ApiOptions  # noqa: PLC0415 - the one that is wanted alone

    if settings.signed_in:
        raise BadSettings(
            "signed_in (--signed-in) is the sign-in of Claude Code, which Claude Code alone may use: it goes with "
            "`--backend runtime`. The backend `api` takes ANTHROPIC_API_KEY, or a profile of `ant auth login`."
        )
    own_account = simulator is None
    options = ApiOptions(
        api_key=revealed(settings.anthropic_api_key) if own_account else SIMULATED_KEY,
        auth_token=revealed(settings.anthropic_auth_token),
        base_url=settings.anthropic_base_url if own_account else simulator,
        retries=settings.retries,
        silence=settings.silence_timeout,
        cache_ttl=settings.cache_ttl,
    )
    if settings.cloud is None or not own_account:
        return ApiBackend(options)
    return _on_cloud(settings.cloud, options, place)


def _on_cloud(cloud: Cloud, options: "ApiOptions", place: CloudPlace) -> Backend:
    from dragoman.backends.api.clouds import CloudBackend, CloudOptions  # noqa: PLC0415 - the one that is wanted alone

    made = CloudOptions(
        kind=cloud,
        region=place.region,
        project=place.project,
        profile=place.profile,
        model_ids=place.model_ids,
        api_key=place.api_key,
    )
    return CloudBackend(replace(options, base_url=place.base_url), made)


class _Installation(TypedDict):
    """What both backends that run Claude Code are told."""

    state_dir: Path
    command: Path | None
    api_key: str | None
    base_url: str | None
    signed_in: bool
    config_dir: Path | None
    retries: int
    silence: float


def _installation(settings: Settings, simulator: str | None) -> _Installation:
    own_account = simulator is None
    return _Installation(
        state_dir=settings.state_dir.expanduser(),
        command=command_of(settings),
        api_key=revealed(settings.anthropic_api_key) if own_account else SIMULATED_KEY,
        base_url=settings.anthropic_base_url if own_account else simulator,
        signed_in=settings.signed_in and own_account,
        config_dir=settings.claude_config_dir if own_account else None,
        retries=settings.retries,
        silence=settings.silence_timeout,
    )


def _cli_backend(settings: Settings, simulator: str | None) -> Backend:
    from dragoman.backends.claude_cli import ClaudeCliBackend, ClaudeCliOptions  # noqa: PLC0415 - as above

    return ClaudeCliBackend(
        ClaudeCliOptions(
            **_installation(settings, simulator),
            keep=settings.keep_output,
            keep_for=settings.output_ttl,
        )
    )


def runtime_options(settings: Settings, simulator: str | None = None) -> RuntimeOptions:
    """The runtime's part of the settings.

    Args:
        settings: All of them.
        simulator: The address of a simulator that stands in for Claude, with no account of the owner's.
    """
    return RuntimeOptions(
        **_installation(settings, simulator),
        default_model=_default_model(settings),
        spares=settings.spares,
        max_live=settings.max_live,
        live_ttl=settings.live_ttl,
        parked_ttl=settings.parked_ttl,
        max_memory=settings.max_memory,
        trace=settings.log_level == "trace" or settings.trace_file is not None,
        agents=agent_rules(settings),
    )


def _default_model(settings: Settings) -> str:
    """Its id; the name itself, where it is perhaps newer than what is known here."""
    try:
        return Catalog(aliases=settings.model_aliases).resolve(settings.default_model).model.id
    except NotFound:
        return settings.default_model


async def diagnose(settings: Settings) -> AsyncGenerator[Finding]:
    """Try the runtime against a simulator of its own, and tell of each finding as it is made."""
    from dragoman.simulator import Simulator  # noqa: PLC0415 - seldom wanted, and the start should be quick

    async with Simulator() as simulator:
        api = ScriptedApi(simulator.url, lambda: [call.body for call in simulator.calls])
        async with aclosing(examine(runtime_options(settings, simulator.url), api)) as findings:
            async for finding in findings:
                yield finding
