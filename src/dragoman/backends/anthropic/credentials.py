"""What signs calls: a configured key or token, or credentials that the gateway searches for on this machine."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal, TypeAlias

from dragoman.backends.anthropic.failures import Failure
from dragoman.backends.anthropic.request import API_VERSION, ApiCall
from dragoman.core import log
from dragoman.core.errors import GatewayError, NotInstalled, NotSignedIn
from dragoman.core.supervise import SupervisedTask, failures_in

CredentialsKind: TypeAlias = Literal["api_key", "auth_token", "sdk", "bedrock", "vertex"]


class Credentials(ABC):
    """What signs calls.

    Attributes:
        kind: The kind of credentials, for the operator.
        base_url: The API's address that belongs to them, if there is one. Known after the first `sign`.
        headers: Further header lines that every call needs. Known after the first `sign`.
    """

    kind: CredentialsKind
    base_url: str | None = None
    headers: bytes = b""

    def start(self) -> None:  # noqa: B027 - configured credentials need no start
        """Begin to search. Slow work continues in a task."""

    async def aclose(self) -> None:  # noqa: B027 - configured credentials hold nothing
        """End tasks and connections. Idempotent."""

    @abstractmethod
    async def sign(self, method: bytes, call: ApiCall) -> bytes:
        """Return the header lines of a call, with its signature.

        Raises:
            NotSignedIn: There are no credentials.
            UpstreamFailed: A token could not be renewed now.
        """

    async def renew(self, refused: bytes) -> bool:  # noqa: ARG002 - configured credentials cannot be renewed
        """Get other credentials than those in refused header lines. Return False if there are none.

        Raises:
            GatewayError: As `sign`.
        """
        return False

    def missing(self) -> str | None:
        """Return why calls cannot be signed, for the operator; None if they can, or if that is not known yet."""
        return None

    def failures(self) -> Mapping[str, str]:
        """Return why tasks failed; see `dragoman.core.supervise.ReportsFailures`."""
        return {}

    def explain(self, status: int, failure: Failure) -> Failure:  # noqa: ARG002 - for the clouds
        """Return the failure of a call, with advice if the credentials caused it.

        Args:
            status: The HTTP status.
            failure: The failure as the API reports it.
        """
        return failure


class ConfiguredCredentials(Credentials):
    """A key or token that does not change."""

    def __init__(self, kind: Literal["api_key", "auth_token"], secret: str) -> None:
        self.kind = kind
        # Other characters would be refused in any case, but must not end the header line.
        value = "".join(character for character in secret if character.isascii() and character.isprintable()).strip()
        self._bearer = f"authorization: Bearer {value}\r\n".encode("ascii")
        self._line = f"x-api-key: {value}\r\n".encode("ascii") if kind == "api_key" else self._bearer

    async def sign(self, method: bytes, call: ApiCall) -> bytes:  # noqa: ARG002 - the method is not signed
        """Return the header lines. From version 2026-10-21 on, keys are sent as bearer tokens."""
        return call.header_lines() + (self._line if call.version == API_VERSION else self._bearer)


class SearchedCredentials(Credentials):
    """Credentials that the gateway searches for, off the event loop.

    One search runs at a time. Runs wait for it, and cancelling a run does not end it. The search at the start is
    repeated until it succeeds, so that a sign-in made later is found, and `missing` tells why it failed.
    """

    def __init__(self) -> None:
        self._missing: str | None = None
        self._has_found = False
        self._running_search: asyncio.Task[GatewayError | None] | None = None
        self._first_search = SupervisedTask(self.search, name="api-credentials", on_failure=_ignore)

    def start(self) -> None:
        """Search in a task."""
        self._first_search.start()

    async def aclose(self) -> None:
        """End the search. Idempotent."""
        await self._first_search.aclose()
        if self._running_search is not None and not self._running_search.done():
            self._running_search.cancel()
            await asyncio.wait([self._running_search])

    def missing(self) -> str | None:
        """Return why the last search failed."""
        return self._missing

    def failures(self) -> Mapping[str, str]:
        """Return why the search at the start failed; it is repeated."""
        return failures_in(self._first_search)

    async def search(self, *, refresh: bool = False) -> None:
        """Search for credentials, or wait for the search that runs.

        Args:
            refresh: Whether a token that is still valid is replaced.

        Raises:
            GatewayError: There are none, or the service that issues them failed.
        """
        if self._running_search is None or self._running_search.done():
            self._running_search = asyncio.create_task(self._search(refresh=refresh), name="credentials-search")
        if (error := await asyncio.shield(self._running_search)) is not None:
            raise error.replace(retry_after=error.retry_after)  # a copy: other runs raise the same error

    async def _search(self, *, refresh: bool) -> GatewayError | None:
        try:
            await self.find(refresh=refresh)
        except GatewayError as error:
            found = error
        except Exception as error:  # noqa: BLE001 - whatever the providers' libraries raise
            log.warning("api.credentials", problem=type(error).__name__)
            found = self.map_error(error)
        else:
            self._missing, self._has_found = None, True
            self._first_search.recovered()
            return None
        # A service that fails now does not make credentials unusable that were found before.
        if isinstance(found, NotSignedIn | NotInstalled) or not self._has_found:
            self._missing = found.message
        return found

    @abstractmethod
    async def find(self, *, refresh: bool) -> None:
        """Find credentials and store them. May raise anything."""

    @abstractmethod
    def map_error(self, error: Exception) -> GatewayError:
        """Return the error for an exception of `find`."""


def _ignore(error: Exception, pause: float) -> None:
    """Do nothing: the search has logged the error."""
