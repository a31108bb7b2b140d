"""Whose calls to a cloud are: credentials as the official SDK finds them, asked beside the event loop."""

import asyncio
import importlib.util
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import structlog

from dragoman.backends.anthropic.clouds.request import Where
from dragoman.backends.anthropic.credentials import Kind
from dragoman.core.errors import GatewayError, NotInstalled, NotSignedIn, UpstreamFailed

if TYPE_CHECKING:
    from dragoman.backends.anthropic.clouds.sdk import Signer

log = structlog.get_logger("dragoman.api")

_LIBRARIES: Mapping[str, tuple[str, ...]] = {"bedrock": ("anthropic", "boto3"), "vertex": ("anthropic", "google.auth")}
_ADVICE: Mapping[str, str] = {
    "bedrock": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_BEARER_TOKEN_BEDROCK, or sign in with "
    "`aws sso login`; name the region with AWS_REGION.",
    "vertex": "Type `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to the file of a "
    "service account; name the project with ANTHROPIC_VERTEX_PROJECT_ID and the region with CLOUD_ML_REGION.",
}
_PASSING = frozenset({"TransportError", "EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError"})
"""Names of what the clouds' libraries raise where they cannot ask."""
_OURS_TO_SEND = frozenset({"host", "content-length", "connection"})


class Access:
    """Credentials for a cloud. One look for them goes on at a time, and runs wait for it.

    Args:
        kind: The cloud.
        make: Makes the signer; blocks.
    """

    betas: tuple[str, ...] = ()
    headers = b""

    def __init__(self, kind: Kind, make: "Callable[[], Signer]") -> None:
        self.kind = kind
        self.base_url: str | None = None
        self.advice = _ADVICE[kind]
        self._make = make
        self._signer: Signer | None = None
        self._looking: asyncio.Task[Signer] | None = None
        self._missing: str | None = None

    def start(self) -> None:
        """Look for credentials behind the start."""
        self._look()

    async def aclose(self) -> None:
        """Do not look any longer, and close the SDK's connections."""
        if self._looking is not None and not self._looking.done():
            self._looking.cancel()
            await asyncio.wait([self._looking])
        if self._signer is not None:
            await asyncio.to_thread(self._signer.close)

    async def signature(self, version: str) -> bytes:  # noqa: ARG002 - each call has a signature of its own
        """Nothing that calls share; once this returns, they can be signed."""
        await self._ready()
        return b""

    async def renew(self, refused: bytes) -> bool:  # noqa: ARG002 - see `signature`
        """Forget the token."""
        return self._signer is not None and await asyncio.to_thread(self._signer.renew)

    def missing(self) -> str | None:
        """What the last look found to be missing."""
        return self._missing

    async def where(self) -> Where:
        """Region and project.

        Raises:
            GatewayError: There are no credentials, so nobody knows.
        """
        return (await self._ready()).where

    async def lines(self, method: bytes, target: bytes, headers: Mapping[str, str], body: bytes) -> bytes:
        """The header lines of a call, with its signature.

        Raises:
            NotSignedIn: There is nothing to sign with.
        """
        signer = await self._ready()
        url = f"{signer.address}{target.decode()}"
        try:
            made = await asyncio.to_thread(signer.signed, method.decode(), url, headers, body)
        except Exception as error:
            raise self._failed(error) from error
        lines = (f"{name}: {value}\r\n" for name, value in made.items() if name.lower() not in _OURS_TO_SEND)
        return "".join(lines).encode("latin-1", "ignore")

    async def _ready(self) -> "Signer":
        if self._signer is not None:
            return self._signer
        return await asyncio.shield(self._look())

    def _look(self) -> "asyncio.Task[Signer]":
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._found(), name="cloud-credentials")
            self._looking.add_done_callback(_seen)
        return self._looking

    async def _found(self) -> "Signer":
        if missing := [name for name in _LIBRARIES[self.kind] if not _installed(name)]:
            self._missing = f"`{missing[0]}` is not installed. Type: pip install 'dragoman[cloud]'"
            raise NotInstalled(self._missing)
        try:
            signer = await asyncio.to_thread(self._tried)
        except Exception as error:
            raise self._failed(error) from error
        self.base_url, self._signer, self._missing = signer.address, signer, None
        return signer

    def _tried(self) -> "Signer":
        """A signer that can sign: it is better known at the start that there is nothing to sign with."""
        signer = self._make()
        signer.signed("POST", f"{signer.address}/", {}, b"{}")
        if self.kind == "vertex" and not signer.where.project:
            raise ValueError("no project")
        return signer

    def _failed(self, error: Exception) -> GatewayError:
        log.warning("api.credentials", problem=type(error).__name__)
        if type(error).__name__ in _PASSING:
            return UpstreamFailed(f"The sign-in service of {self.kind.title()} cannot be reached.")
        words = str(error).lower() if isinstance(error, ValueError) else ""
        what = next((f"{one} was named" for one in ("region", "project") if one in words), "credentials were found")
        self._missing = f"No {what} for Claude on {self.kind.title()}. {self.advice}"
        return NotSignedIn(self._missing)


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _seen(task: "asyncio.Task[Signer]") -> None:
    """Whoever waits is told; where nobody does, the next run is."""
    if not task.cancelled():
        task.exception()
