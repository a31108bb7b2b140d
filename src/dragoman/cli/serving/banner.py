"""What `serve` says when it starts."""

from dragoman import __version__
from dragoman.cli.logs.setup import holds_payloads
from dragoman.config.loading import flag, variables
from dragoman.config.settings import Settings
from dragoman.wiring.gateway import Gateway

_PAYLOADS = "holds what people write, without secrets: --debug, --trace or --trace-file is set"


def banner(settings: Settings, gateway: Gateway, address: str) -> str:
    """Address, endpoints, backend, who pays, and what to do if nobody does."""
    reason = None if gateway.simulator else gateway.backend.ready()
    lines = [
        f"Dragoman {__version__}",
        f"  OpenAI base URL  {address}/v1",
        "  Endpoints        /v1/chat/completions  /v1/responses  /v1/completions  /v1/embeddings",
        "                   /v1/messages  /v1/models  /health  /metrics",
        f"  Documentation    {address}/docs",
        f"  Backend          {gateway.backend.name}",
        f"  Claude           {_account(settings, gateway)}",
        f"  Clients          {_clients(settings)}",
        *([f"  Log              {_PAYLOADS}"] if holds_payloads(settings) else ()),
    ]
    return "\n".join([*lines, "", f"  {reason}"] if reason else lines)


def _account(settings: Settings, gateway: Gateway) -> str:
    if gateway.simulator:
        return f"simulated at {gateway.simulator}: no account, no network"
    if settings.upstreams:
        goes_on = ", each the next one's stand-in" if settings.fallback else ""
        return f"{len(settings.upstreams)} upstreams: {', '.join(one.name for one in settings.upstreams)}{goes_on}"
    if settings.cloud:
        return f"on {settings.cloud.title()}, by this machine's credentials for it"
    if settings.signed_in:
        return "your own Claude Code sign-in, for you alone"
    if settings.anthropic_api_key:
        return "API key from ANTHROPIC_API_KEY"
    return "no API key and no sign-in"


def _clients(settings: Settings) -> str:
    if settings.keys:
        names = ", ".join(key.name for key in settings.keys)
        own = ", or the gateway's own" if settings.api_key else ""
        return f"must send a key: {names}{own}"
    if settings.api_key:
        origin = flag("api_key_file") if settings.api_key_file else f"{flag('api_key')} or {variables('api_key')[0]}"
        return f"must send the key ({origin})"
    return "need no key; only this machine can connect"
