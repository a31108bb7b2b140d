"""Credentials for a cloud, as the official SDK finds them. Each call is signed separately, off the event loop."""

import asyncio
import importlib.util
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from dragoman.backends.anthropic.clouds.request import CloudLocation
from dragoman.backends.anthropic.credentials import SearchedCredentials
from dragoman.backends.anthropic.failures import Failure
from dragoman.backends.anthropic.request import ApiCall
from dragoman.core.errors import GatewayError, NotInstalled, NotSignedIn, UpstreamFailed

if TYPE_CHECKING:
    from dragoman.backends.anthropic.clouds.sdk import Signer

_LIBRARIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"bedrock": ("anthropic", "boto3"), "vertex": ("anthropic", "google.auth")}
)
_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "bedrock": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_BEARER_TOKEN_BEDROCK, or sign in with "
        "`aws sso login`; name the region with AWS_REGION.",
        "vertex": "Type `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to the file of "
        "a service account; name the project with ANTHROPIC_VERTEX_PROJECT_ID and the region with CLOUD_ML_REGION.",
    }
)
_TRANSIENT_ERRORS = frozenset({"TransportError", "EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError"})
"""Names of the exceptions that the clouds' libraries raise if a sign-in service cannot be reached."""
_CLIENT_HEADERS = frozenset({"host", "content-length", "connection"})
"""Headers that the HTTP client sets itself."""
_UNAUTHORIZED, _FORBIDDEN = 401, 403


class CloudCredentials(SearchedCredentials):
    """Credentials for a cloud.

    Args:
        kind: The cloud.
        create_signer: Creates the signer. Blocks.
    """

    def __init__(self, kind: Literal["bedrock", "vertex"], create_signer: "Callable[[], Signer]") -> None:
        super().__init__()
        self.kind = kind
        self._create_signer = create_signer
        self._signer: Signer | None = None

    async def aclose(self) -> None:
        """End the search, and close the SDK's connections."""
        await super().aclose()
        if self._signer is not None:
            await asyncio.to_thread(self._signer.close)

    async def location(self) -> CloudLocation:
        """Return the region and the project.

        Raises:
            GatewayError: There are no credentials, so these are not known.
        """
        return (await self._ready_signer()).location

    async def sign(self, method: bytes, call: ApiCall) -> bytes:
        """Return the header lines of a call, with its signature."""
        signer = await self._ready_signer()
        headers = {"content-type": "application/json"}
        if call.betas:
            headers["anthropic-beta"] = ",".join(call.betas)
        url = f"{signer.address}{call.target.decode()}"
        try:
            signed = await asyncio.to_thread(signer.sign, method.decode(), url, headers, call.body)
        except Exception as error:
            raise self.map_error(error) from error
        lines = (f"{name}: {value}\r\n" for name, value in signed.items() if name.lower() not in _CLIENT_HEADERS)
        return "".join(lines).encode("latin-1", "ignore")

    async def renew(self, refused: bytes) -> bool:  # noqa: ARG002 - the next call gets a new token
        """Drop the token."""
        return self._signer is not None and await asyncio.to_thread(self._signer.renew)

    def explain(self, status: int, failure: Failure) -> Failure:
        """Return the failure of a call, with advice for this cloud if it refuses the credentials."""
        if status not in {_UNAUTHORIZED, _FORBIDDEN}:
            return failure
        is_unauthorized = status == _UNAUTHORIZED
        reason = "they are not valid." if is_unauthorized else failure.error.message.removeprefix("Claude says: ")
        error = NotSignedIn(
            f"{self.kind.title()} refuses the credentials of this gateway: {reason} {_ADVICE[self.kind]}"
        )
        # A new token does not help against a missing permission.
        return Failure(error, failure.reason, is_unauthorized=is_unauthorized)

    async def find(self, *, refresh: bool) -> None:  # noqa: ARG002 - see `renew`
        """Create a signer, and sign something: missing credentials are better known at the start."""
        if missing := [name for name in _LIBRARIES[self.kind] if not _is_installed(name)]:
            raise NotInstalled(f"`{missing[0]}` is not installed. Type: pip install 'dragoman[cloud]'")
        signer = await asyncio.to_thread(self._try_signer)
        self.base_url, self._signer = signer.address, signer

    def map_error(self, error: Exception) -> GatewayError:
        """Distinguish a sign-in service that cannot be reached from credentials that are missing."""
        if type(error).__name__ in _TRANSIENT_ERRORS:
            return UpstreamFailed(f"The sign-in service of {self.kind.title()} cannot be reached.")
        text = str(error).lower() if isinstance(error, ValueError) else ""
        missing = next(
            (f"{name} was named" for name in ("region", "project") if name in text), "credentials were found"
        )
        return NotSignedIn(f"No {missing} for Claude on {self.kind.title()}. {_ADVICE[self.kind]}")

    async def _ready_signer(self) -> "Signer":
        if self._signer is None:
            await self.search()
        if self._signer is None:
            raise NotSignedIn(self.missing() or f"No credentials were found. {_ADVICE[self.kind]}")
        return self._signer

    def _try_signer(self) -> "Signer":
        signer = self._create_signer()
        signer.sign("POST", f"{signer.address}/", {}, b"{}")
        if self.kind == "vertex" and not signer.location.project:
            raise ValueError("no project")
        return signer


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
