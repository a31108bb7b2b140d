"""Credentials as the official SDK finds them: profiles with their refresh tokens, and workload identity.

The SDK decides where to search and how to get a token. The gateway decides how long to keep it, because the SDK's own
cache is part of its HTTP client. The SDK takes most of a second to import, so it is imported only if there is no key,
and off the event loop.
"""

import asyncio
import time
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from dragoman.backends.anthropic.credentials import CredentialsKind, SearchedCredentials
from dragoman.backends.anthropic.failures import SIGN_IN_ADVICE
from dragoman.backends.anthropic.request import ApiCall
from dragoman.core.errors import GatewayError, NotInstalled, NotSignedIn, UpstreamFailed

if TYPE_CHECKING:
    from anthropic.lib.credentials import AccessToken, CredentialResult

_NO_CREDENTIALS = f"This gateway has no API key and no sign-in for Claude. {SIGN_IN_ADVICE}"
_DEFAULT_ADDRESS = "https://api.anthropic.com"
_BEARER_BETAS = ("oauth-2025-04-20",)
_RENEWAL_MARGIN = 120.0
"""Seconds before its expiry at which a token is renewed."""
_MIN_SERVER_ERROR = 500


@runtime_checkable
class _Closeable(Protocol):
    """A provider with connections of its own. The SDK's type for providers does not declare it."""

    def close(self) -> None: ...


class SdkCredentials(SearchedCredentials):
    """The SDK's chain of credentials.

    Args:
        base_url: The API's address, if it is configured. It takes precedence over the address in a profile.
    """

    kind: CredentialsKind = "sdk"

    def __init__(self, base_url: str | None) -> None:
        super().__init__()
        self._configured_url = base_url
        self._found: CredentialResult | None = None
        self._token: AccessToken | None = None

    async def aclose(self) -> None:
        """End the search, and close the SDK's connections."""
        await super().aclose()
        found, self._found = self._found, None
        provider: object = found.provider if found else None
        if isinstance(provider, _Closeable):
            await asyncio.to_thread(provider.close)

    async def sign(self, method: bytes, call: ApiCall) -> bytes:  # noqa: ARG002 - the method is not signed
        """Return the header lines with the current token."""
        if self._token is None or _expiry(self._token) < time.time() + _RENEWAL_MARGIN:
            try:
                await self.search()
            except GatewayError:
                if self._token is None or _expiry(self._token) <= time.time():
                    raise
        return call.header_lines(_BEARER_BETAS) + self._token_line()

    async def renew(self, refused: bytes) -> bool:
        """Get a new token, unless another run has got one since."""
        if self._token is None or refused.endswith(self._token_line()):
            await self.search(refresh=True)
        return not refused.endswith(self._token_line())

    async def find(self, *, refresh: bool) -> None:
        """Find the credentials once, and get a token from them."""
        if self._found is None:
            self._found = await asyncio.to_thread(_resolve, self._configured_url or _DEFAULT_ADDRESS)
            self.base_url = self._found.base_url
            lines = (f"{name}: {value}\r\n" for name, value in self._found.extra_headers.items())
            self.headers = "".join(lines).encode("latin-1", "ignore")
        self._token = await asyncio.to_thread(self._found.provider, force_refresh=refresh)

    def map_error(self, error: Exception) -> GatewayError:
        """Distinguish a token service that fails from a sign-in that is not usable."""
        status = getattr(error, "status_code", None)
        if isinstance(status, int) and status >= _MIN_SERVER_ERROR:
            return UpstreamFailed(f"Claude's sign-in service returned status {status}.")
        problem = type(error).__name__
        return NotSignedIn(f"The sign-in for Claude on this machine is not usable ({problem}). {SIGN_IN_ADVICE}")

    def _token_line(self) -> bytes:
        if self._token is None:
            raise NotSignedIn(self.missing() or _NO_CREDENTIALS)
        return f"authorization: Bearer {self._token.token}\r\n".encode("latin-1", "ignore")


def _resolve(base_url: str) -> "CredentialResult":
    """Search as the SDK does. Blocks."""
    try:
        from anthropic.lib.credentials import default_credentials  # noqa: PLC0415 - slow to import
    except ImportError:
        raise NotInstalled(_NO_CREDENTIALS) from None
    found = default_credentials(base_url=base_url)
    if found is None:
        raise NotSignedIn(_NO_CREDENTIALS)
    return found


def _expiry(token: "AccessToken") -> float:
    """Return when a token expires, in seconds since 1970. The SDK's 0 means "ask each time", so it is in the past."""
    return float("inf") if token.expires_at is None else float(token.expires_at)
