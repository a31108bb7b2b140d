"""Credentials as the official SDK finds them: profiles with their refresh, and workload identity.

The SDK decides where to look and how a token is had; how long one is kept is decided here, because its own cache is
made for its own HTTP client. It takes most of a second to import, so it is imported only where there is no key, and
beside the event loop.
"""

import asyncio
import time
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import structlog

from dragoman.backends.anthropic.credentials import Kind
from dragoman.backends.anthropic.errors import SIGN_IN_ADVICE
from dragoman.core.errors import GatewayError, NotInstalled, NotSignedIn, UpstreamFailed

if TYPE_CHECKING:
    from anthropic.lib.credentials import AccessToken, CredentialResult

log = structlog.get_logger("dragoman.api")

_USUAL_ADDRESS = "https://api.anthropic.com"
_BEARER_BETA = "oauth-2025-04-20"
_EARLY = 120.0
"""Seconds before its end at which a token is renewed."""

NO_CREDENTIALS = f"This gateway has no API key and no sign-in for Claude. {SIGN_IN_ADVICE}"


@runtime_checkable
class _Closes(Protocol):
    """A provider with connections of its own; the SDK's type for providers does not say so."""

    def close(self) -> None: ...


class SdkCredentials:
    """The SDK's chain. One task at a time asks it; runs wait for that task, and cancelling them does not end it.

    Args:
        base_url: The API's address, if the operator named one: a profile's own counts only without it.
    """

    kind: Kind = "sdk"
    betas: tuple[str, ...] = (_BEARER_BETA,)

    def __init__(self, base_url: str | None) -> None:
        self.base_url: str | None = None
        self.headers = b""
        self._address = base_url
        self._found: CredentialResult | None = None
        self._token: AccessToken | None = None
        self._asking: asyncio.Task[None] | None = None
        self._missing: str | None = None

    def start(self) -> None:
        """Look for credentials behind the start."""
        self._ask(force=False)

    async def aclose(self) -> None:
        """Do not wait for a token any longer, and close the connections that the SDK had for it."""
        if self._asking is not None and not self._asking.done():
            self._asking.cancel()
            await asyncio.wait([self._asking])
        found, self._found = self._found, None
        provider: object = found.provider if found else None
        if isinstance(provider, _Closes):
            await asyncio.to_thread(provider.close)

    async def signature(self, version: str) -> bytes:  # noqa: ARG002 - a token is a bearer token in every version
        """The line with the current token."""
        if self._token is None or _ends(self._token) < time.time() + _EARLY:
            try:
                await self._asked(force=False)
            except GatewayError:
                if self._token is None or _ends(self._token) <= time.time():
                    raise
        return self._line()

    async def renew(self, refused: bytes) -> bool:
        """A new token, unless another run has had one since."""
        if self._token is None or self._line() == refused:
            await self._asked(force=True)
        return self._line() != refused

    def missing(self) -> str | None:
        """What the last look found to be missing."""
        return self._missing

    def _line(self) -> bytes:
        if self._token is None:
            raise NotSignedIn(self._missing or NO_CREDENTIALS)
        return f"authorization: Bearer {self._token.token}\r\n".encode("latin-1", "ignore")

    async def _asked(self, *, force: bool) -> None:
        await asyncio.shield(self._ask(force=force))

    def _ask(self, *, force: bool) -> "asyncio.Task[None]":
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._renew(force=force), name="api-credentials")
            self._asking.add_done_callback(_seen)
        return self._asking

    async def _renew(self, *, force: bool) -> None:
        try:
            if self._found is None:
                self._found = await asyncio.to_thread(_resolve, self._address or _USUAL_ADDRESS)
                self.base_url = self._found.base_url
                lines = (f"{name}: {value}\r\n" for name, value in self._found.extra_headers.items())
                self.headers = "".join(lines).encode("latin-1", "ignore")
            self._token = await asyncio.to_thread(self._found.provider, force_refresh=force)
            self._missing = None
        except GatewayError as error:
            self._missing = error.message
            raise
        except Exception as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> GatewayError:
        log.warning("api.credentials", problem=type(error).__name__)
        status = getattr(error, "status_code", None)
        if isinstance(status, int) and status >= 500:  # noqa: PLR2004 - the token's server failed, not the sign-in
            return UpstreamFailed(f"Claude's sign-in service answers with status {status}.")
        problem = type(error).__name__
        self._missing = f"The sign-in for Claude on this machine cannot be used ({problem}). {SIGN_IN_ADVICE}"
        return NotSignedIn(self._missing)


def _resolve(base_url: str) -> "CredentialResult":
    try:
        from anthropic.lib.credentials import default_credentials  # noqa: PLC0415 - slow; see above
    except ImportError:
        raise NotInstalled(NO_CREDENTIALS) from None
    found = default_credentials(base_url=base_url)
    if found is None:
        raise NotSignedIn(NO_CREDENTIALS)
    return found


def _ends(token: "AccessToken") -> float:
    """When a token ends, in seconds since 1970; 0, which the SDK reads as "ask each time", is long ago."""
    return float("inf") if token.expires_at is None else float(token.expires_at)


def _seen(task: "asyncio.Task[None]") -> None:
    """Whoever waits is told; where nobody does, the next run is."""
    if not task.cancelled():
        task.exception()
